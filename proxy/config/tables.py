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

from ..upstream import presets
from . import values
from .values import Listen, MirrorURL, Network, Seconds, Size

Duration = Annotated[Seconds, PlainValidator(Seconds.read)]
"""May be nothing at all: "0 s"."""
Timeout = Annotated[Seconds, PlainValidator(Seconds.read_positive)]
"""More than nothing: aiohttp takes a 0 for "wait for ever"."""
Bytes = Annotated[Size, PlainValidator(Size.read)]
Count = Annotated[int, Field(gt=0)]
Folder = Annotated[Path, PlainValidator(values.read_path)]
OptionalPath = Annotated[Path | None, PlainValidator(values.read_optional_path)]

# TOML gives lists, which may change; only the outer shape is lax, what stands in it is as strict as elsewhere.
Lax = Field(strict=False)
Networks = Annotated[tuple[Annotated[Network, PlainValidator(values.read_network)], ...], Lax]
DialledNetworks = Annotated[tuple[Annotated[Network, PlainValidator(values.read_dialled_network)], ...], Lax]
Hosts = Annotated[tuple[Annotated[str, PlainValidator(values.read_host)], ...], Lax]
Mirrors = Annotated[tuple[Annotated[MirrorURL, PlainValidator(MirrorURL.read)], ...], Lax]
Patterns = Annotated[tuple[Annotated[str, PlainValidator(values.read_pattern)], ...], Lax]
Projects = Annotated[tuple[Annotated[NormalizedName, PlainValidator(values.read_project)], ...], Lax]


class Table(BaseModel):
    """One section: nothing unknown, nothing converted silently, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Server(Table):
    listen: Annotated[Listen, PlainValidator(Listen.read)] = Listen("127.0.0.1", 8080)
    public_url: Annotated[str, PlainValidator(values.read_public_url)] = ""
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
    mirrors: Mirrors = tuple(map(MirrorURL.read, presets.DEFAULT))
    fresh: Duration = Seconds(5 * 60)
    absent: Duration = Seconds(60)
    root_fresh: Duration = Seconds(60 * 60)
    hosts: Hosts = ()
    networks: DialledNetworks = ()
    ca: OptionalPath = None
    proxy: Annotated[str, PlainValidator(values.read_proxy)] = ""
    connect_timeout: Timeout = Seconds(4)
    answer_timeout: Timeout = Seconds(5)
    stall_timeout: Timeout = Seconds(10)
    soft_deadline: Duration = Seconds(2)
    hard_deadline: Timeout = Seconds(10)
    connections: Count = 16
    max_page: Bytes = Size(64 * 2**20)
    max_root: Bytes = Size(128 * 2**20)
    max_file: Bytes = Size(20 * 10**9)

    @field_validator("mirrors")
    @classmethod
    def _is_a_set(cls, mirrors: tuple[MirrorURL, ...]) -> tuple[MirrorURL, ...]:
        if not mirrors:
            raise ValueError("should name at least one mirror; for private projects alone write index = []")
        for place, mirror in enumerate(mirrors):
            if mirror in mirrors[:place]:
                raise ValueError(f"names {str(mirror)!r} twice")
        return mirrors


class Private(Table):
    reserved: Patterns = ()
    overlay: Projects = ()
    claim: Literal["explicit", "allow"] = "explicit"

    @field_validator("overlay")
    @classmethod
    def _is_not_reserved(cls, overlay: tuple[NormalizedName, ...], info: ValidationInfo) -> tuple[NormalizedName, ...]:
        for name in overlay:
            for pattern in info.data.get("reserved", ()):
                if values.covers(pattern, name):
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


class Upload(Table):
    max_size: Bytes = Size(4 * 10**9)
    max_field: Bytes = Size(4 * 2**20)
    max_metadata: Bytes = Size(4 * 2**20)
    max_unpacked: Bytes = Size(20 * 10**9)
    max_members: Count = 200_000
    timeout: Timeout = Seconds(60)


class Settings(Table):
    """What the operator decided, and defaults for all else."""

    server: Server = Server()
    storage: Storage
    cache: Cache = Cache()
    index: Annotated[tuple[Index, ...], Lax] = (Index(),)
    """None for private projects alone; more than one comes later, and `load` refuses it until then."""
    private: Private = Private()
    auth: Auth = Auth()
    upload: Upload = Upload()

    @property
    def htpasswd(self) -> Path:
        """Where the users stand, whether or not the file exists."""
        return self.auth.htpasswd or self.storage.state / "htpasswd"


def sections() -> dict[str, type[Table]]:
    """The table of each section, in the file's order."""
    return {name: _table(field.annotation) for name, field in Settings.model_fields.items()}


def every_setting() -> Iterator[tuple[str, str, FieldInfo]]:
    """Section, key and field of every setting there is, in the file's order."""
    for section, table in sections().items():
        for key, field in table.model_fields.items():
            yield section, key, field


def _table(annotation: Any) -> type[Table]:
    """The table itself, or the one that a tuple of tables is made of."""
    found: type[Table] = get_args(annotation)[0] if get_args(annotation) else annotation
    return found
