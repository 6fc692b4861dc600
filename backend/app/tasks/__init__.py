"""What workers do: each task opens a session and calls a service."""
