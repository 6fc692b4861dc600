"""The ops tool of OpenTranscribe: what `./opentr.sh` runs."""
