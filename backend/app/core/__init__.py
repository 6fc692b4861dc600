"""Settings, logging and security: what every part needs and nothing above it."""
