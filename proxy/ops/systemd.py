"""Words with the service manager: readiness, the watchdog, sockets it opened for us (sd_notify(3), sd_listen_fds(3)).

Everywhere else than under systemd these do nothing, so that nobody needs to ask where the program runs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_FIRST_FD = 3  # SD_LISTEN_FDS_START


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager *lines* such as "READY=1", "STOPPING=1" or "STATUS=..."; whether it was told."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    # An @ stands for the zero byte of an abstract socket.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as connection:
        try:
            connection.connect(address)
            connection.send("\n".join(lines).encode())
        except OSError:
            # A manager that went away or cannot listen is no reason to stop serving.
            return False
    return True


def listening_sockets(environment: Mapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """The sockets that socket activation opened for this process, by FileDescriptorName=; none without it.

    Raise OSError for one that clients cannot connect to.
    """
    try:
        meant, count = int(environment["LISTEN_PID"]), int(environment["LISTEN_FDS"])
    except (KeyError, ValueError):
        return {}
    if meant != os.getpid():
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    sockets: dict[str, list[socket.socket]] = {}
    for place in range(count):
        name = names[place] if place < len(names) else ""
        sockets.setdefault(name or "unknown", []).append(_listening_socket(_FIRST_FD + place))
    return sockets


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often to say WATCHDOG=1, half of what is allowed; None where nobody waits for it."""
    try:
        allowed = int(environment["WATCHDOG_USEC"]) / 1e6
        meant = int(environment.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    return allowed / 2 if allowed > 0 and meant == os.getpid() else None


def _listening_socket(fd: int) -> socket.socket:
    # Programs that we start must not hold the port open.
    os.set_inheritable(fd, False)
    found = socket.socket(fileno=fd)
    if found.type != socket.SOCK_STREAM:
        raise OSError(f"systemd handed over a socket (descriptor {fd}) that is not of ListenStream=.")
    return found
