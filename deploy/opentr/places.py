"""Where the services' files, sockets and ports are, as the services themselves see them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """What configuration files say of places; the defaults are those of the images."""

    postgres_config: str = "/etc/opentr"
    postgres_data: str = "/var/lib/postgresql/data"
    postgres_socket: str = "/run/postgresql"
    postgres_listen: str = "*"
    postgres_port: int = 5432
    postgres_users: tuple[str, ...] = ("postgres",)
    """the system's users that may be superuser by the socket"""
    shared_memory: str = "posix"
    """dynamic_shared_memory_type: /dev/shm, which in a container has the size that Compose gives it"""
    wal_compression: str = "lz4"
    redis_data: str = "/var/lib/redis"
    redis_users: str = "/run/secrets/redis_users"
    redis_listen: str = "*"
    redis_port: int = 6379
    redis_major: int = 8
