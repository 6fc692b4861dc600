"""The door to the container engine: nothing else imports the docker SDK. What it answers becomes values of our own."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from opentr.errors.engine import EngineMissing, EngineRefused, EngineTooOld
from opentr.errors.services import DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from docker import APIClient
    from docker.types.daemon import CancellableStream

T = TypeVar("T")

API_VERSION = "1.44"
OLDEST = "Docker 25"
"""The first engine that speaks this version of the API; it is also the first with `start_interval` of health checks."""

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
VOLUME_LABEL = "com.docker.compose.volume"
HASH_LABEL = "com.docker.compose.config-hash"
STATE_LABEL = "org.opentranscribe.state"
CHECKOUT_LABEL = "org.opentranscribe.checkout"
DIGEST_LABEL = "org.opentranscribe.digest"
ONEOFF_LABEL = "org.opentranscribe.oneoff"
VERSION_LABEL = "org.opencontainers.image.version"

_SECONDS = 60
"""How long the engine may take for an ordinary answer; listing sizes of volumes walks through all files."""
_NEVER = "0001-01-01"
_INSTALL = "install Docker, or start it: scripts/docker_engine.sh --install"


@dataclass(frozen=True)
class Container:
    """A container as it is now."""

    id: str
    name: str
    service: str
    state: str
    """created, running, paused, restarting, exited, dead"""
    health: str | None
    """healthy, unhealthy, starting; None without a health check or when it doesn't run"""
    failures: int
    """how many health checks failed, one after the other, up to now"""
    image: str
    """the reference that it was made from"""
    labels: Mapping[str, str]
    started: datetime | None
    restarts: int
    exit_code: int
    ports: Mapping[int, str]
    """port inside -> host:port on this machine"""

    @property
    def oneoff(self) -> bool:
        """Whether it was made for one command."""
        return ONEOFF_LABEL in self.labels or self.labels.get("com.docker.compose.oneoff") == "True"


@dataclass(frozen=True)
class Volume:
    """A named volume; `size` in bytes if it was asked for."""

    name: str
    short: str
    """its name in the Compose file"""
    labels: Mapping[str, str]
    size: int | None = None


@dataclass(frozen=True)
class Network:
    """A network."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Image:
    """An image; `size` in bytes."""

    id: str
    references: tuple[str, ...]
    labels: Mapping[str, str]
    size: int


@dataclass(frozen=True)
class Event:
    """Something that happened to a container: start, die, destroy, health_status: healthy, ..."""

    action: str
    container: str
    service: str


@dataclass(frozen=True)
class LogFrame:
    """A line, or a part of a long one, as the engine received it. `stamp` is its time in UTC with nanoseconds."""

    stamp: str
    text: str
    complete: bool = True
    """False: more of the same line follows in the next frame"""


class Engine:
    """The engine at `host`, by default the one that the docker command itself would take (its context)."""

    def __init__(self, host: str | None = None) -> None:
        self._given = host

    @cached_property
    def _address(self) -> dict[str, Any]:
        """`base_url` and `tls`, as the docker command resolves them. Raises EngineMissing."""
        from docker.context import ContextAPI
        from docker.errors import DockerException
        from docker.utils import kwargs_from_env

        try:
            found: dict[str, Any] = kwargs_from_env() if self._given else ContextAPI.kwargs_from_context()
        except DockerException as error:
            hint = "correct DOCKER_HOST, DOCKER_CONTEXT or DOCKER_CERT_PATH"
            raise EngineMissing(self._given or "Docker's context", str(error), hint) from error
        return found | {"base_url": self._given} if self._given else found

    @property
    def host(self) -> str:
        """The engine's address."""
        return str(self._address.get("base_url", "unix:///var/run/docker.sock"))

    @property
    def cli_options(self) -> list[str]:
        """What makes the docker command talk to this engine; a context with keys is left for it to find, as we did."""
        return [] if "tls" in self._address and not self._given else ["--host", self.host]

    @cached_property
    def _client(self) -> APIClient:
        return self._connect()

    def _connect(self) -> APIClient:
        from docker import APIClient
        from docker.errors import DockerException

        try:
            return APIClient(**self._address, version=API_VERSION, timeout=_SECONDS)
        except DockerException as error:
            raise EngineMissing(self.host, str(error), "correct DOCKER_HOST, or unset it") from error

    @contextmanager
    def _words(self) -> Iterator[None]:
        """Foreign errors become ours. Raises EngineMissing, EngineTooOld, DiskFull, EngineRefused."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        try:
            yield
        except APIError as error:
            said = str(error.explanation or error)
            if "too new" in said:
                raise EngineTooOld(said, OLDEST) from error
            if "no space left on device" in said.lower():
                raise DiskFull("what the Docker engine was to do", self.host, None) from error
            raise EngineRefused(said) from error
        except (RequestException, DockerException) as error:
            raise _missing(self.host, error) from error

    def version(self) -> str:
        """The engine's version. Raises EngineMissing, EngineTooOld."""
        with self._words():
            return str(self._client.version()["Version"])

    def folder(self) -> str:
        """Where the engine keeps its data."""
        with self._words():
            return str(self._client.info()["DockerRootDir"])

    def containers(self, project: str, *, service: str | None = None) -> list[Container]:
        """The project's containers, stopped ones and those for one command too, sorted by name."""
        labels = [f"{PROJECT_LABEL}={project}", *([f"{SERVICE_LABEL}={service}"] if service else [])]
        with self._words():
            found = self._client.containers(all=True, filters={"label": labels})
        inspected = (self.container(each["Id"]) for each in found)
        return sorted((each for each in inspected if each), key=lambda each: each.name)

    def container(self, name: str) -> Container | None:
        """The container of this name or id; None if there is none."""
        from docker.errors import NotFound

        with self._words():
            try:
                return _container(self._client.inspect_container(name))
            except NotFound:
                return None

    def remove_container(self, name: str, *, grace: int = 10) -> None:
        """Stop the container, with `grace` seconds before it is killed, and remove it; no error if there is none."""
        from docker.errors import APIError, NotFound

        with self._words(), suppress(NotFound):
            self._client.stop(name, timeout=grace)
            try:
                self._client.remove_container(name, force=True, v=True)
            except APIError as error:
                if "already in progress" not in str(error.explanation):
                    raise
                self._client.wait(name, condition="removed")  # somebody else removes it: `docker compose run --rm`

    def volumes(self, project: str, *, sizes: bool = False) -> list[Volume]:
        """The project's volumes, sorted by name; with `sizes` the engine walks through the files of all volumes."""
        with self._words():
            found = self._client.volumes(filters={"label": f"{PROJECT_LABEL}={project}"})["Volumes"] or []
            known = self._volume_sizes() if sizes and found else {}
        named = [Volume(v["Name"], _short(v, project), v["Labels"] or {}, known.get(v["Name"])) for v in found]
        return sorted(named, key=lambda each: each.name)

    def _volume_sizes(self) -> dict[str, int]:
        client = self._client
        url = client._url("/system/df")  # noqa: SLF001 - df() has no way to ask for volumes alone
        usage = client._result(client._get(url, params={"type": "volume"}), json=True)  # noqa: SLF001
        return {each["Name"]: each["UsageData"]["Size"] for each in usage["Volumes"] or []}

    def remove_volume(self, name: str) -> None:
        """Remove the volume and its data; no error if there is none. Raises EngineRefused while a container uses it."""
        from docker.errors import NotFound

        with self._words(), suppress(NotFound):
            self._client.remove_volume(name)

    def networks(self, project: str) -> list[Network]:
        """The project's networks, sorted by name."""
        with self._words():
            found = self._client.networks(filters={"label": f"{PROJECT_LABEL}={project}"})
        return sorted((Network(n["Name"], n["Labels"] or {}) for n in found), key=lambda each: each.name)

    def remove_network(self, name: str) -> None:
        """Remove the network; no error if there is none. Raises EngineRefused while a container is on it."""
        from docker.errors import NotFound

        with self._words(), suppress(NotFound):
            self._client.remove_network(name)

    def image(self, reference: str) -> Image | None:
        """The image of this reference or id; None if there is none."""
        from docker.errors import ImageNotFound

        with self._words():
            try:
                found = self._client.inspect_image(reference)
            except ImageNotFound:
                return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        return Image(found["Id"], tuple(found.get("RepoTags") or ()), labels, found["Size"])

    def images(self, label: str) -> list[Image]:
        """The images with this label, `name` or `name=value`."""
        with self._words():
            found = self._client.images(filters={"label": label})
        return [Image(i["Id"], tuple(i.get("RepoTags") or ()), i.get("Labels") or {}, i["Size"]) for i in found]

    def in_registry(self, reference: str, seconds: float) -> bool:
        """Whether the image's registry answers the engine within so many seconds, and has it."""
        from docker.errors import APIError
        from requests.exceptions import ReadTimeout

        with self._words():
            client = self._connect()
            client.timeout = seconds
            try:
                client.inspect_distribution(reference)
            except (APIError, ReadTimeout):
                return False
        return True

    def tag(self, image: str, reference: str) -> None:
        """Give the image a further name."""
        repository, _, tag = reference.rpartition(":")
        with self._words():
            self._client.tag(image, repository, tag)

    def remove_image(self, reference: str) -> None:
        """Take the name away from its image, which goes with its last name; no error if there is none.

        Raises EngineRefused while a container uses it.
        """
        from docker.errors import ImageNotFound

        with self._words(), suppress(ImageNotFound):
            self._client.remove_image(reference)

    def logs(
        self, container: str, *, since: datetime | None = None, tail: int | None = None, follow: bool = False
    ) -> Stream[LogFrame]:
        """What the container wrote, oldest first; with `follow` until it ends."""
        with self._words():
            client = self._connect()
            start = since.timestamp() if since else None
            wanted = "all" if tail is None else tail
            answer = client.logs(container, stream=True, timestamps=True, follow=follow, since=start, tail=wanted)
        return Stream(answer, _frame, self._words)

    def events(self, project: str) -> Stream[Event]:
        """What happens to the project's containers from now on."""
        with self._words():
            filters = {"type": "container", "label": f"{PROJECT_LABEL}={project}"}
            answer = self._connect().events(decode=True, filters=filters)
        return Stream(answer, _event, self._words)


class Stream(Generic[T]):
    """What the engine sends bit by bit. Another thread may close it while one waits for the next bit."""

    def __init__(
        self, answer: CancellableStream, read: Callable[[Any], T], words: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._answer = answer
        self._read = read
        self._words = words
        self._closed = False

    def __iter__(self) -> Iterator[T]:
        try:
            with self._words():
                for each in self._answer:
                    yield self._read(each)
        except Exception:
            if not self._closed:  # whatever a closed socket makes of itself
                raise

    def close(self) -> None:
        """End it; who waits for the next bit gets the end."""
        self._closed = True
        response = self._answer._response  # noqa: SLF001 - its own close() leaves the connection open
        if not response.raw.closed and response.raw._fp.fp:  # noqa: SLF001
            self._answer.close()
        response.close()


def _missing(host: str, error: Exception) -> EngineMissing:
    """No answer, in words; what to do goes by the innermost cause."""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    match cause:
        case PermissionError():
            hint = "join its group, then log in again: sudo usermod -aG docker $USER"
        case FileNotFoundError() | ConnectionRefusedError() if host.startswith("unix:"):
            hint = _INSTALL
        case TimeoutError():
            hint = "it hangs: restart it, as in: sudo systemctl restart docker"
        case _:
            hint = "correct DOCKER_HOST, or unset it"
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return EngineMissing(host, reason, hint)


def _container(found: Mapping[str, Any]) -> Container:
    state, labels = found["State"], found["Config"]["Labels"] or {}
    health = state.get("Health", {}).get("Status")
    return Container(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        service=labels.get(SERVICE_LABEL, ""),
        state=state["Status"],
        health=health if state["Running"] and health != "none" else None,
        failures=state.get("Health", {}).get("FailingStreak", 0),
        image=found["Config"]["Image"],
        labels=labels,
        started=None if state["StartedAt"].startswith(_NEVER) else instant(state["StartedAt"]),
        restarts=found["RestartCount"],
        exit_code=state["ExitCode"],
        ports=_ports(found["NetworkSettings"]["Ports"] or {}),
    )


def _ports(published: Mapping[str, list[dict[str, str]] | None]) -> dict[int, str]:
    """5432/tcp: [{HostIp, HostPort}] -> 5432: host:port; an address that stands for all is told as 127.0.0.1."""
    ports: dict[int, str] = {}
    for inside, outside in published.items():
        for each in outside or []:
            address = each["HostIp"] if each["HostIp"] not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
            ports.setdefault(int(inside.split("/")[0]), f"{address}:{each['HostPort']}")
    return ports


def _short(volume: Mapping[str, Any], project: str) -> str:
    return (volume["Labels"] or {}).get(VOLUME_LABEL) or str(volume["Name"]).removeprefix(f"{project}_")


def instant(stamp: str) -> datetime:
    """RFC 3339 with any number of decimals, as Go writes it, in UTC; digits beyond microseconds are dropped."""
    seconds, _, rest = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{rest[:6]:0<6}").replace(tzinfo=UTC)


def _frame(payload: bytes) -> LogFrame:
    stamp, _, text = payload.decode(errors="replace").partition(" ")
    return LogFrame(stamp.rstrip("\n"), text.removesuffix("\n").removesuffix("\r"), complete=payload.endswith(b"\n"))


def _event(found: Mapping[str, Any]) -> Event:
    actor = found["Actor"]
    return Event(found["Action"], actor["ID"], actor["Attributes"].get(SERVICE_LABEL, ""))
