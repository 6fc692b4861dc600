"""Where the recordings' bytes are."""
