"""Which settings there are: one frozen table for each section of the file, and what they mean.

What a setting means to the operator stands in config.example.toml, and a test holds that every one stands there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from packaging.utils import NormalizedName
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from .. import rights
from ..simple.names import NamePattern
from ..upstream import presets
from . import urls, values
from .urls import MirrorURL
from .values import Listen, Network, Seconds, Size

Duration = Annotated[Seconds, PlainValidator(Seconds.read)]
"""May be nothing at all: "0 s"."""
Timeout = Annotated[Seconds, PlainValidator(Seconds.read_positive)]
"""More than nothing: aiohttp takes a 0 for "wait for ever"."""
Bytes = Annotated[Size, PlainValidator(Size.read)]
Count = Annotated[int, Field(gt=0)]
CountOrNone = Annotated[int, Field(ge=0)]
Folder = Annotated[Path, PlainValidator(values.read_path)]
OptionalPath = Annotated[Path | None, PlainValidator(values.read_optional_path)]

# TOML gives lists, which may change; only the outer shape is lax, what stands in it is as strict as elsewhere.
Lax = Field(strict=False)
Networks = Annotated[tuple[Annotated[Network, PlainValidator(values.read_network)], ...], Lax]
DialledNetworks = Annotated[tuple[Annotated[Network, PlainValidator(values.read_dialled_network)], ...], Lax]
Hosts = Annotated[tuple[Annotated[str, PlainValidator(values.read_host)], ...], Lax]
Patterns = Annotated[tuple[Annotated[NamePattern, PlainValidator(values.read_pattern)], ...], Lax]
NamePatterns = Annotated[tuple[Annotated[NamePattern, PlainValidator(values.read_index_pattern)], ...], Lax]
Statuses = Annotated[tuple[Annotated[int, PlainValidator(values.read_status)], ...], Lax]
LoginSource = Annotated[Path | Literal["environment"] | None, PlainValidator(values.read_login_source)]
Projects = Annotated[tuple[Annotated[NormalizedName, PlainValidator(values.read_project)], ...], Lax]


def _read_mirror(value: object, info: ValidationInfo) -> MirrorURL:
    return MirrorURL.read_page(value) if info.data.get("kind") == "find-links" else MirrorURL.read(value)


Mirrors = Annotated[
    tuple[Annotated[MirrorURL, PlainValidator(_read_mirror)], ...], Field(strict=False, validate_default=True)
]


class Table(BaseModel):
    """One section: nothing unknown, nothing converted silently, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Server(Table):
    listen: Annotated[Listen, PlainValidator(Listen.read)] = Listen("127.0.0.1", 8080)
    public_url: Annotated[str, PlainValidator(urls.read_public_url)] = ""
    """Ends in a slash; empty where the Host header tells."""
    trusted_proxies: Networks = ()
    grace: Duration = Seconds(20)
    keepalive: Duration = Seconds(75)
    send_timeout: Timeout = Seconds(60)
    access_log: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"


class Storage(Table):
    """Computed from the environment where nothing is written: see proxy.config.sources."""

    state: Folder
    cache: Folder


class Cache(Table):
    max_size: Bytes = Size(50 * 10**9)
    max_pages: Bytes = Size(2 * 10**9)
    memory: Bytes = Size(256 * 10**6)
    sweep: Timeout = Seconds(30)
    min_free: Bytes = Size(10**9)


class Index(Table):
    """One upstream index, and the mirrors that copy it."""

    name: Annotated[str, PlainValidator(values.read_word)] = "pypi"
    kind: Literal["simple", "find-links"] = "simple"
    mirrors: Mirrors = tuple(map(MirrorURL.read, presets.DEFAULT))
    names: NamePatterns = ()
    """Which names it may answer for; empty is every name."""
    credentials: LoginSource = None
    user_agent: Annotated[str, PlainValidator(values.read_user_agent)] = ""
    """Empty is our own."""
    unknown: Statuses = ()
    """Empty where nothing is written: then unknown_at says which they are."""
    fresh: Duration = Seconds(5 * 60)
    full_fetch: Duration = Seconds(24 * 3600)
    absent: Duration = Seconds(60)
    root_fresh: Duration = Seconds(60 * 60)
    hosts: Hosts = ()
    networks: DialledNetworks = ()
    ca: Annotated[Path | None, PlainValidator(values.read_bundle)] = None
    proxy: Annotated[str, PlainValidator(urls.read_proxy)] = ""
    connect_timeout: Timeout = Seconds(4)
    answer_timeout: Timeout = Seconds(5)
    hedge: Duration = Seconds(1)
    stall_timeout: Timeout = Seconds(10)
    low_speed: Bytes = Size(4 * 2**10)
    """Bytes per second."""
    soft_deadline: Duration = Seconds(2)
    hard_deadline: Timeout = Seconds(10)
    pause: Timeout = Seconds(5)
    longest_pause: Annotated[Timeout, Field(validate_default=True)] = Seconds(5 * 60)
    refusal_pause: Timeout = Seconds(10 * 60)
    connections: Count = 16
    segment_above: Bytes = Size(8 * 2**20)
    segments: Count = 8
    max_page: Bytes = Size(64 * 2**20)
    max_root: Bytes = Size(128 * 2**20)
    max_file: Bytes = Size(20 * 10**9)
    removed: Literal["withhold", "keep"] = "withhold"
    heal: bool = True
    estimated_times: bool = False
    look_ahead: CountOrNone = 200
    look_ahead_depth: Count = 8

    @field_validator("mirrors")
    @classmethod
    def _is_a_set(cls, mirrors: tuple[MirrorURL, ...], info: ValidationInfo) -> tuple[MirrorURL, ...]:
        if not mirrors:
            raise ValueError("should name at least one mirror; for private projects alone write index = []")
        if info.data.get("kind") == "find-links" and mirrors[0].preset:  # the default
            raise ValueError(f"holds no URL, and {urls.PAGE_WANTED}")
        for place, mirror in enumerate(mirrors):
            other = next((other for other in mirrors[:place] if other.name == mirror.name), None)
            if other == mirror:
                raise ValueError(f"names {str(mirror)!r} twice")
            if other is not None:
                raise ValueError(f"{str(other)!r} and {str(mirror)!r} go by one name, {mirror.name!r}; take one out")
        return mirrors

    @field_validator("credentials")
    @classmethod
    def _has_a_use(cls, setting: Path | str | None, info: ValidationInfo) -> Path | str | None:
        mirrors = info.data.get("mirrors")  # not there where they are wrong
        if setting is not None and mirrors and all(mirror.preset for mirror in mirrors):
            raise ValueError("is for mirrors given by their URL; those known by name want no password, and get none")
        return setting

    @field_validator("longest_pause")
    @classmethod
    def _is_the_longest(cls, longest: Seconds, info: ValidationInfo) -> Seconds:
        if longest < (shortest := info.data.get("pause", longest)):
            raise ValueError(f"should be no shorter than pause, which is {str(shortest)!r}")
        return longest

    def unknown_at(self, mirror: MirrorURL) -> tuple[int, ...]:
        """The statuses by which *mirror* says that there is no such project or file."""
        return self.unknown or presets.unknown_at(mirror.url)


class Private(Table):
    reserved: Patterns = ()
    overlay: Projects = ()
    claim: Literal["explicit", "allow"] = "explicit"

    @field_validator("overlay")
    @classmethod
    def _is_not_reserved(cls, overlay: tuple[NormalizedName, ...], info: ValidationInfo) -> tuple[NormalizedName, ...]:
        for name in overlay:
            for pattern in info.data.get("reserved", ()):
                if pattern.covers(name):
                    raise ValueError(
                        f"{name!r} is reserved too, by {pattern!r}: a name is answered from here alone or from both"
                    )
        return overlay


class Auth(Table):
    htpasswd: OptionalPath = None
    """None where nothing is written: then Settings.htpasswd says where it is."""
    upload: Literal["users", "anyone"] = "users"
    read: Literal["anyone", "users"] = "anyone"
    clear_http: Literal["private-networks", "never", "always"] = "private-networks"
    remember: Duration = Seconds(5 * 60)
    failures: Annotated[int, Field(gt=0, le=1000)] = 10
    failure_window: Timeout = Seconds(5 * 60)


class Right(Table):
    """One rule of who may do what with which private projects."""

    user: Annotated[str, PlainValidator(values.read_user)]
    names: NamePatterns = ()
    """Empty is every name."""
    may: Annotated[tuple[rights.Right, ...], Lax]

    @field_validator("may")
    @classmethod
    def _is_of_use(cls, may: tuple[rights.Right, ...]) -> tuple[rights.Right, ...]:
        if not may:
            raise ValueError("should name at least one of 'read', 'upload' and 'admin'")
        return may

    @property
    def rule(self) -> rights.Rule:
        return rights.Rule(user=self.user, names=self.names, may=frozenset(self.may))


class Upload(Table):
    max_size: Bytes = Size(4 * 10**9)
    max_field: Bytes = Size(4 * 2**20)
    max_metadata: Bytes = Size(4 * 2**20)
    max_unpacked: Bytes = Size(20 * 10**9)
    max_members: Count = 200_000
    timeout: Timeout = Seconds(60)
    strict: bool = False


class Settings(Table):
    """What the operator decided, and defaults for all else."""

    server: Server = Server()
    storage: Storage
    cache: Cache = Cache()
    index: Annotated[tuple[Index, ...], Lax] = (Index(),)
    """In the order in which they are asked; none for private projects alone.  `load` sees that names are unique."""
    private: Private = Private()
    auth: Auth = Auth()
    right: Annotated[tuple[Right, ...], Lax] = ()
    """None where whoever signs in may read and upload everything; see `rules`."""
    upload: Upload = Upload()

    @property
    def htpasswd(self) -> Path:
        """Where the users stand, whether or not the file exists."""
        return self.auth.htpasswd or self.storage.state / "htpasswd"

    @property
    def rules(self) -> tuple[rights.Rule, ...]:
        """Who may do what."""
        return tuple(right.rule for right in self.right) or rights.WITHOUT_RULES


def sections() -> dict[str, type[Table]]:
    """The table of each section, in the file's order."""
    return {name: _table(field.annotation) for name, field in Settings.model_fields.items()}


def arrays() -> frozenset[str]:
    """The sections that may stand there several times, under `[[...]]`."""
    return frozenset(name for name, field in Settings.model_fields.items() if get_args(field.annotation))


def every_setting() -> Iterator[tuple[str, str, FieldInfo]]:
    """Section, key and field of every setting there is, in the file's order."""
    for section, table in sections().items():
        for key, field in table.model_fields.items():
            yield section, key, field


def _table(annotation: Any) -> type[Table]:
    """The table itself, or the one that a tuple of tables is made of."""
    found: type[Table] = get_args(annotation)[0] if get_args(annotation) else annotation
    return found
