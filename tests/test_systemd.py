"""ops/systemd.py, and the unit file that goes with it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli import MISCONFIGURED
from proxy.config import Seconds, load
from proxy.ops.systemd import listening_sockets, notify, watchdog_seconds

UNIT = Path(__file__).parent.parent / "systemd" / "yizhan.service"

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here: the unit is only parsed")


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"yizhan-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address}" if abstract else address)
        manager.settimeout(10)
        variable = f"@{address}" if abstract else address
        assert notify("READY=1", "STATUS=Serving", environment={"NOTIFY_SOCKET": variable})
        assert manager.recv(100) == b"READY=1\nSTATUS=Serving"


@pytest.mark.parametrize("path", [None, "", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(path: str | None) -> None:
    assert not notify("READY=1", environment={} if path is None else {"NOTIFY_SOCKET": path})


def test_a_manager_that_does_not_listen_stops_nobody(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        # Until its queue is full; a blocking socket would wait there for ever.
        assert not all(notify("WATCHDOG=1", environment={"NOTIFY_SOCKET": address}) for _ in range(10_000))


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environment) == seconds


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "one", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_sockets_meant_for_nobody_or_another_are_not_taken(environment: dict[str, str]) -> None:
    assert listening_sockets(environment) == {}


ACTIVATED = """
import os, sys
for number, descriptor in enumerate(map(int, sys.argv[1:])):
    os.dup2(descriptor, 103 + number)
for number in range(len(sys.argv) - 1):
    os.dup2(103 + number, 3 + number)
from proxy.ops.systemd import listening_sockets
environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sys.argv) - 1), "LISTEN_FDNAMES": "web:"}
found = listening_sockets(environment)
print(sorted((name, len(group)) for name, group in found.items()))
assert not any(os.get_inheritable(item.fileno()) for group in found.values() for item in group)
connection, _ = found["web"][0].accept()
connection.sendall(b"served")
"""


def test_sockets_that_systemd_opened_are_served(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "unix"))
        unix.listen()
        command = [sys.executable, "-c", ACTIVATED, str(tcp.fileno()), str(unix.fileno())]
        with (
            subprocess.Popen(
                command, pass_fds=(tcp.fileno(), unix.fileno()), stdout=subprocess.PIPE, text=True
            ) as child,
            socket.create_connection(tcp.getsockname(), timeout=60) as client,
        ):
            assert client.recv(100) == b"served"
            assert child.communicate(timeout=60)[0] == "[('unknown', 1), ('web', 1)]\n"
        assert child.returncode == 0


def test_a_socket_of_another_kind_is_refused() -> None:
    code = ACTIVATED.replace("found = ", "import contextlib\nwith contextlib.suppress(OSError):\n    found = ", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        command = [sys.executable, "-c", code, str(udp.fileno())]
        done = subprocess.run(command, pass_fds=(udp.fileno(),), capture_output=True, text=True, timeout=60)
    assert "NameError: name 'found' is not defined" in done.stderr


# The unit


def unit() -> dict[str, str]:
    """The unit's settings by name; of those given twice, the last."""
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_the_unit_gives_answers_under_way_their_time() -> None:
    grace = load(None, environment={"HOME": "/"}).settings.server.grace
    assert Seconds.read(f"{unit()['TimeoutStopSec']} s") >= grace + 10


def test_the_unit_waits_for_ready_and_does_not_start_nonsense_again() -> None:
    found = unit()
    assert (found["Type"], found["Restart"]) == ("notify", "on-failure")
    assert found["RestartPreventExitStatus"] == str(MISCONFIGURED)
    assert found["ExecStart"] == "/opt/yizhan/bin/yizhan serve --config /etc/yizhan/config.toml"
    assert {found[f"{kind}Directory"] for kind in ("State", "Cache", "Configuration")} == {"yizhan"}


def test_every_line_of_the_unit_stands_under_a_reason() -> None:
    blocks = re.split(r"\n\n|\n(?=\[)", UNIT.read_text(encoding="utf-8"))
    bare = [block for block in blocks if re.search(r"^\w+=", block, re.MULTILINE) and "# " not in block]
    assert [block.splitlines()[0] for block in bare] == ["[Install]"]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    # The program it starts is not installed here; anything executable will do in its place.
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/yizhan/bin/yizhan", sys.executable))
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", str(there)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_exposes_little() -> None:
    command = [str(ANALYZE), "security", "--offline=true", "--threshold=13", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-200:]
