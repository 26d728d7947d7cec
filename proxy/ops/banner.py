"""What a start prints: the lines that a person copies into pip, uv and twine."""

from __future__ import annotations

import shlex
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..config import Settings


def machine_address() -> str:
    """For a server on every interface: the address by which its network most likely knows it, else its name.

    Nothing is sent: a datagram socket that connects asks the kernel's routing table alone (192.0.2.1 is RFC 5737's).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def banner(settings: Settings, *, listening: str, user: tuple[str, str] | None) -> str:
    """The text; *listening* is the URL that clients use, with its slash, and *user* a first user just made."""
    parts = [
        f"Yizhan 驿站 is ready: {listening}simple/",
        _clients(listening),
        _upload(settings, listening, user),
        _upstream(settings),
        f"State   {settings.storage.state}\nCache   {settings.storage.cache}",
    ]
    return "\n\n".join(parts) + "\n"


def _clients(url: str) -> str:
    trusted = _untrusted_host(url)
    pip = f"  pip install -i {url}simple/ {f'--trusted-host {trusted} ' if trusted else ''}PACKAGE"
    lines = ["Install  安装", pip, f"  pip config set global.index-url {url}simple/"]
    if trusted:
        lines.append(f"  pip config set global.trusted-host {trusted}")
    lines.append(f"  export UV_DEFAULT_INDEX={url}simple/")
    lines += ["or in uv.toml", "  [[index]]", f'  url = "{url}simple/"', "  default = true"]
    return "\n".join(lines)


def _upload(settings: Settings, url: str, user: tuple[str, str] | None) -> str:
    command = f"  twine upload --repository-url {url}"
    if settings.auth.upload == "anyone":
        return f"Upload, open to anyone  上传（无需账号）\n{command} -u anyone -p anyone dist/*"
    if user is None:
        return f"Upload  上传\n{command} -u USER dist/*\n  The users stand in {settings.htpasswd}"
    name, password = map(shlex.quote, user)
    return (
        f"Upload  上传\n{command} -u {name} -p {password} dist/*\n"
        f"  User {name}, password {password}: made for this first start and shown only once.\n"
        f"  首次启动自动创建的账号，密码只显示这一次。\n"
        f"  Only the password's hash is kept, in {settings.htpasswd}"
    )


def _upstream(settings: Settings) -> str:
    if not settings.index:
        return "No index behind it: private projects alone  仅私有包"
    mirrors = [mirror for index in settings.index for mirror in index.mirrors]
    width = max(len(mirror.name) for mirror in mirrors)
    rows = [f"  {mirror.name:<{width}}  {mirror.url}" for mirror in mirrors]
    return "\n".join(["In front of  上游镜像", *rows])


def _untrusted_host(url: str) -> str | None:
    """The host that pip refuses to use without --trusted-host: any on clear http but this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return host
