"""A real Redis for tests, with the one user that production has, which can be stopped and started again."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis
from redis.exceptions import ConnectionError as RedisRefused

from app.db import binaries, scratch
from tests.servers import leave_out

if TYPE_CHECKING:
    from collections.abc import Iterator

_FETCHED = "*/usr/bin/redis-server"


@dataclass
class RedisServer:
    """A Redis with its data in `folder`; it runs between `start` and `stop`."""

    folder: Path
    port: int = field(default_factory=scratch.free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def url(self) -> str:
        """Its address, with the password of user `app`."""
        return f"redis://app:{self.password}@127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        """A client as user `app`."""
        return Redis.from_url(self.url)

    def start(self) -> None:
        """Starts it on its data; returns when it answers."""
        program = Path("/usr/bin/redis-server")
        place = self._running.enter_context(scratch.private_folder())
        if not program.exists():  # an installed one is a link, and goes by the name that it is called by
            program = binaries.for_account(next(binaries.FETCHED.glob(_FETCHED)), place)
        acl = f"user default off\nuser app on >{self.password} ~* &* +@all -@admin\n"
        scratch.write_readable(self.folder / "users", acl)
        words = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "aclfile": self.folder / "users"}
        words |= {"appendonly": "yes", "save": "''"}
        argv = [str(program), *(str(word) for name, value in words.items() for word in (f"--{name}", value))]
        process = self._running.enter_context(scratch.kept_process(place, [argv], ["SIGTERM"]))
        scratch.wait_for(lambda: self.client().ping(), process, RedisRefused)

    def stop(self) -> None:
        """Stops it; its data stay."""
        self._running.close()


@contextlib.contextmanager
def own_redis() -> Iterator[RedisServer]:
    """A running Redis, gone with its data at the end."""
    if not Path("/usr/bin/redis-server").exists() and not any(binaries.FETCHED.glob(_FETCHED)):
        leave_out("no Redis on this machine")
    with scratch.private_folder() as folder:
        if account := binaries.server_account():
            os.chown(folder, *account)
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
