"""HTTP: thin endpoints over the services."""
