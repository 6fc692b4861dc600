"""The OpenTranscribe backend: API, workers, migrations and tools on one database layer."""
