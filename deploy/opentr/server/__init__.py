"""What we do to a running Postgres and its pool. Everything goes through the runtime, by the local socket."""
