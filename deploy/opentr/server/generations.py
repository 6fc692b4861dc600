"""Generations of an environment's data: the live one, and the one before, which a swap brings back.

A generation is a database, a Redis database and a folder of media files. Each of the three has two places: one that the
app uses, and one beside. A swap exchanges them, first the databases, in one transaction: that decides. Then the others
follow. What becomes live is named by a token of its own in all three places, and the token is written down before
anything is done, so that a swap that was cut short anywhere is finished, or taken back, by the next command.
"""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr import ui
from opentr.errors import OpentrError
from opentr.errors.data import NoGenerationBefore
from opentr.server import broker, media, pool, psql, sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentr.runtimes.base import Runtime
    from opentr.state import State

LIVE = psql.DATABASE
PREVIOUS = f"{LIVE}_previous"
NEXT = f"{LIVE}_next"
DISCARDED = f"{LIVE}_discarded"
"""What a swap has put out of the way, until it is dropped."""
RECORD = "swap"
"""The state's record of a swap that is going on: its token, and the database that is to become the live one."""
SWAPPER = "opentr_swap"
"""The application name of the sessions that make the next generation and swap it in."""
_TOKEN_BYTES = 8
_LOOK_SECONDS = 0.2
_DATA = ("postgres", "redis")
_HAS_TABLES = (
    "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')) AS found"
)
_DATABASES = """
SELECT datname AS name, shobj_description(oid, 'pg_database') AS comment, pg_database_size(oid) AS size FROM pg_database
"""


@dataclass(frozen=True)
class Database:
    """A database of ours."""

    name: str
    comment: str
    size_bytes: int


def databases(runtime: Runtime) -> dict[str, Database]:
    """All databases of this server, by name. Raises ServiceNotRunning, ProcessFailed."""
    rows = psql.query(runtime, _DATABASES, psql.MAINTENANCE)
    return {row["name"]: Database(row["name"], row["comment"], int(row["size"])) for row in rows}


def has_tables(runtime: Runtime, database: str = LIVE) -> bool:
    """Whether somebody has made tables in it."""
    return psql.query(runtime, _HAS_TABLES, database)[0]["found"] == "t"


@contextmanager
def guarded(state: State, runtime: Runtime) -> Iterator[None]:
    """If the block fails, or Ctrl-C comes, the swap that was begun is finished or taken back first."""
    try:
        yield
    except BaseException:
        try:
            finish_interrupted(state, runtime)
        except OpentrError as failure:
            ui.note(f"{failure.what}; the next command puts it right")
        raise


def begin(state: State, runtime: Runtime, incoming: str, *, keeps_media: bool = False, of: str = "") -> str:
    """Write down that `incoming` is to become live, and return the token that names it.

    With `keeps_media` what is next has the media files of what is live and of what was before: its rows name them; `of`
    is the token of the generation that the rows come from, where it is known. Raises ServiceNotRunning, ProcessFailed.
    """
    token = secrets.token_hex(_TOKEN_BYTES)
    origin = "before" if incoming == PREVIOUS else "kept" if keeps_media else "fresh"
    there = {name: token_of(each.comment) for name, each in databases(runtime).items()}
    record = {"token": token, "incoming": incoming, "media": origin, "of": of}
    state.write(RECORD, record | {"live": there.get(LIVE, ""), "before": there.get(PREVIOUS, "")})
    return token


def token_of(comment: str) -> str:
    """The token in a database's comment; empty if there is none."""
    return comment.removeprefix(_comment("")) if comment.startswith(_comment("")) else ""


def name_incoming(state: State, runtime: Runtime) -> None:
    """Name the database that was begun, which is complete now. Raises ProcessFailed."""
    begun = _record(state)
    psql.execute(runtime, naming(begun.token, begun.incoming), psql.MAINTENANCE, application=SWAPPER)


def prepare_media(state: State, runtime: Runtime) -> None:
    """Make the media folder of what was begun, before anybody has to wait. Raises ProcessFailed."""
    lost = media.prepare(runtime, _record(state).media)
    if lost:
        ui.note(
            f"media files of another generation, of the same names as some of this one's: {lost}; they are not in use"
            " and not lost, but in another of the media folders: previous, or aside"
        )


def naming(token: str, incoming: str) -> str:
    """The SQL that names the database that is to become live by the token; run before anybody has to wait."""
    return f"""
DROP DATABASE IF EXISTS {DISCARDED} WITH (FORCE);
COMMENT ON DATABASE {incoming} IS {psql.literal(_comment(token))};
"""


def replace_empty() -> str:
    """The SQL that puts the next database in the place of the live one, which is empty, and names it."""
    return f"""
{naming(secrets.token_hex(_TOKEN_BYTES), NEXT)}
{_closed(LIVE)}
{_DURABLE}
BEGIN;
ALTER DATABASE {LIVE} RENAME TO {DISCARDED};
ALTER DATABASE {NEXT} RENAME TO {LIVE};
COMMIT;
DROP DATABASE {DISCARDED} WITH (FORCE);
"""


def swap(state: State, runtime: Runtime, deadline_seconds: int) -> None:
    """Make the generation that was begun the live one, and the live one the one before.

    The pool is paused meanwhile; without a pool the clients' sessions end, and they connect anew.

    Raises PoolNotPaused, ProcessFailed, BrokerRefused.
    """
    begun = _record(state)
    if begun.media.origin == "before":
        prepare_media(state, runtime)
    with pool.paused(runtime, deadline_seconds):
        psql.execute(runtime, _exchange(begun.incoming), psql.MAINTENANCE, application=SWAPPER)
        _swap_rest(state, runtime, begun)
    discard(runtime)
    state.remove(RECORD)


def discard(runtime: Runtime) -> None:
    """Remove what a swap has put out of the way. Cut short, the next command does it."""
    drop = f"DROP DATABASE IF EXISTS {DISCARDED} WITH (FORCE);"
    together(lambda: psql.execute(runtime, drop, psql.MAINTENANCE), lambda: media.discard(runtime))


def require_previous(runtime: Runtime) -> Database:
    """The generation before. Raises NoGenerationBefore if there is none."""
    found = databases(runtime).get(PREVIOUS)
    if found is None or not has_tables(runtime, PREVIOUS):
        raise NoGenerationBefore
    return found


def finish_interrupted(state: State, runtime: Runtime) -> None:
    """Finish the swap that an earlier command began and didn't end, or take it back if it hadn't come to the databases.

    Does nothing if there is none, or while Postgres or Redis don't run: then it is left for a later command. The pool
    can't become healthy while its database takes no connections, so it need not run.
    """
    if state.read(RECORD) is None:
        return
    running = _running(runtime)
    if not running.issuperset(_DATA):
        return
    begun = _record(state)
    # What the earlier command started in the service may still be at work.
    _end_sessions(runtime, f"application_name = '{SWAPPER}'")
    there = databases(runtime)
    if LIVE in there and there[LIVE].comment == _comment(begun.token):
        with ui.step("finish the swap that was cut short"):
            _swap_rest(state, runtime, begun)
            discard(runtime)
    else:
        with ui.step("take back what was cut short"):
            psql.execute(runtime, _take_back(begun, there), psql.MAINTENANCE)
    if pool.SERVICE in running:
        pool.resume(runtime)
    state.remove(RECORD)


def _running(runtime: Runtime) -> set[str]:
    """The services that run; of those that must answer none is still starting, after its end for instance."""
    while True:
        running = {each.service: each for each in runtime.services() if each.state == "running"}
        if not (starting := [name for name in _DATA if name in running and running[name].health == "starting"]):
            ui.show("")
            return set(running)
        ui.show(f"waiting for {', '.join(starting)}")
        time.sleep(_LOOK_SECONDS)


def together(*calls: Callable[[], None]) -> None:
    """Make these calls at the same time; when all have ended, raise the first one's error, if one failed."""
    with ThreadPoolExecutor(len(calls)) as threads:
        ends = [threads.submit(call) for call in calls]
    for end in ends:
        end.result()


@dataclass(frozen=True)
class _Begun:
    """A swap that was written down."""

    token: str
    incoming: str
    media: media.Incoming


def _record(state: State) -> _Begun:
    record = state.read(RECORD)
    assert record is not None  # noqa: S101 - `begin` comes before
    before = "fresh" if record["incoming"] == NEXT else "before"  # what earlier versions of the tool have written
    known = {name: record.get(key, "") for name, key in (("live", "live"), ("before", "before"), ("wanted", "of"))}
    return _Begun(
        record["token"], record["incoming"], media.Incoming(record["token"], record.get("media", before), **known)
    )


def _comment(token: str) -> str:
    return f"generation {token}"


def _swap_rest(state: State, runtime: Runtime, begun: _Begun) -> None:
    together(
        lambda: broker.swap(state, runtime, begun.token, fresh=begun.incoming == NEXT),
        lambda: media.swap(runtime, begun.media),
    )


def _end_sessions(runtime: Runtime, condition: str) -> None:
    sql = f"SELECT {sessions.ending()} FROM pg_stat_activity WHERE {condition} AND pid <> pg_backend_pid()"
    psql.execute(runtime, sql, psql.MAINTENANCE)


def _exchange(incoming: str) -> str:
    """The SQL of a swap: nobody may connect, sessions end, and in one transaction the databases change their names.

    That transaction decides, so it must be on the disk before Redis and the media follow.
    """
    aside = NEXT if incoming == PREVIOUS else PREVIOUS
    return f"""
SELECT count(*) > 0 AS kept FROM pg_database WHERE datname = '{PREVIOUS}' \\gset
{_closed(LIVE)}
{_ending(incoming)}
\\if :kept
{_closed(PREVIOUS)}
\\endif
{_DURABLE}
BEGIN;
{_MAKE_PLACE if incoming == NEXT else ""}
ALTER DATABASE {LIVE} RENAME TO {aside};
ALTER DATABASE {incoming} RENAME TO {LIVE};
{f"ALTER DATABASE {aside} RENAME TO {PREVIOUS};" if aside == NEXT else ""}
ALTER DATABASE {PREVIOUS} ALLOW_CONNECTIONS true;
ALTER DATABASE {LIVE} ALLOW_CONNECTIONS true;
COMMIT;
"""


# In dev commits may be lost with the server's end (synchronous_commit = off).
_DURABLE = "SET synchronous_commit = on;"
_MAKE_PLACE = f"""\\if :kept
ALTER DATABASE {PREVIOUS} RENAME TO {DISCARDED};
\\endif"""


def _ending(database: str) -> str:
    return f"SELECT {sessions.ending()} FROM pg_stat_activity WHERE datname = '{database}';"


def _closed(database: str) -> str:
    return f"ALTER DATABASE {database} ALLOW_CONNECTIONS false;\n{_ending(database)}"


def _take_back(begun: _Begun, there: dict[str, Database]) -> str:
    allow = "".join(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true;" for name in (LIVE, PREVIOUS) if name in there)
    if begun.incoming == NEXT:
        return f"{allow}DROP DATABASE IF EXISTS {NEXT} WITH (FORCE);"
    if begun.media.before and PREVIOUS in there:  # it has been given the name of what it was to become
        return f"{allow}COMMENT ON DATABASE {PREVIOUS} IS {psql.literal(_comment(begun.media.before))};"
    return allow
