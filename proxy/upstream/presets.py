"""Mirrors known by name, those that are no more, and what is known of other indexes: pure data.

Each mirror is a public copy of the official index.  The index itself has no preset: whoever wants it gives its URL.
What is said here is where to look first: what a mirror answers always counts for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A mirror that a configuration may name instead of giving its URL."""

    name: str
    url: str
    """Of the Simple API's root, with the slash at its end."""
    files: str
    """What the URLs of its files begin with, before the `<2>/<2>/<60 hex digits>/` that all mirrors share."""
    json: bool = False
    """Whether most of its pages come in JSON too (PEP 691)."""
    times: bool = False
    """Whether its JSON tells sizes and upload times."""
    redirects: tuple[str, ...] = ()
    """Hosts that it rightly sends us on to."""
    note: str
    """One line for the operator who chooses."""


_TUNA = ("pypi.tuna.tsinghua.edu.cn", "mirrors.tuna.tsinghua.edu.cn")

PRESETS = (
    Preset(
        name="tuna",
        url="https://pypi.tuna.tsinghua.edu.cn/simple/",
        files="https://pypi.tuna.tsinghua.edu.cn/packages/",
        json=True,
        times=True,
        redirects=_TUNA,
        note="Tsinghua University: full copy, JSON with sizes and times; refuses whole subnets now and then",
    ),
    Preset(
        name="aliyun",
        url="https://mirrors.aliyun.com/pypi/simple/",
        files="https://mirrors.aliyun.com/pypi/packages/",
        note="Alibaba Cloud: HTML without sizes and times; slows heavy users down instead of refusing them",
    ),
    Preset(
        name="ustc",
        url="https://mirrors.ustc.edu.cn/pypi/simple/",
        files="https://mirrors.ustc.edu.cn/pypi/packages/",
        json=True,
        times=True,
        redirects=_TUNA,
        note="University of Science and Technology: JSON; files it does not hold redirect to Tsinghua",
    ),
    Preset(
        name="bfsu",
        url="https://mirrors.bfsu.edu.cn/pypi/web/simple/",
        files="https://mirrors.bfsu.edu.cn/pypi/web/packages/",
        json=True,
        note="Beijing Foreign Studies University: Tsinghua's team and software; a file may be missing",
    ),
    Preset(
        name="tencent",
        url="https://mirrors.cloud.tencent.com/pypi/simple/",
        files="https://mirrors.cloud.tencent.com/pypi/packages/",
        note="Tencent Cloud: HTML without sizes and times",
    ),
    Preset(
        name="huawei",
        url="https://repo.huaweicloud.com/repository/pypi/simple/",
        files="https://repo.huaweicloud.com/repository/pypi/packages/",
        note="Huawei Cloud: files that few ask for are slow to start",
    ),
    Preset(
        name="nju",
        url="https://mirror.nju.edu.cn/pypi/web/simple/",
        files="https://mirror.nju.edu.cn/pypi/web/packages/",
        json=True,
        note="Nanjing University: full or nearly full copy",
    ),
    Preset(
        name="sjtu",
        url="https://mirror.sjtu.edu.cn/pypi/web/simple/",
        files="https://mirror.sjtu.edu.cn/pypi-packages/",
        redirects=("s3.jcloud.sjtu.edu.cn", *_TUNA),
        note="Shanghai Jiao Tong University: Tsinghua's pages in HTML; files it does not hold redirect to Tsinghua",
    ),
    Preset(
        name="volces",
        url="https://mirrors.volces.com/pypi/simple/",
        files="https://mirrors.volces.com/pypi/packages/",
        note="Volcengine: little is known of it",
    ),
    Preset(
        name="netease",
        url="https://mirrors.163.com/pypi/simple/",
        files="https://mirrors.163.com/pypi/packages/",
        note="NetEase 163: refreshed once in 24 hours only, so new releases come late; avoid it",
    ),
)
"""In the order in which they are worth trying."""

GONE = {
    "cqupt": "has answered 404 since May 2024; write 'tuna' or 'aliyun'",
    "douban": "is no mirror of its own any more: its pages lead to Tencent's files; write 'tencent'",
    "jlu": "stopped on 2025-04-06; write 'tuna' or 'aliyun'",
    "opentuna": "was a copy of Tsinghua's that is not kept any more; write 'tuna'",
    "zju": "sends everybody off its campus to Tsinghua's; write 'tuna'",
}
"""Mirrors that old instructions still name, and what to write instead."""

DEFAULT = ("tuna", "aliyun", "ustc")
"""The mirrors of an index that names none, in this order: two teams and a company, that seldom fail together."""

UNKNOWN = (404, 410)
"""The statuses by which a server says that it has no such project or file (RFC 9110, section 15.5)."""

_FORBIDS_UNKNOWN = frozenset({"download.pytorch.org"})
"""Object storage without the right to list: what is not there is forbidden, not missing."""


def unknown_at(url: str) -> tuple[int, ...]:
    """The statuses by which the server of *url* says that it has no such project or file."""
    return (403, *UNKNOWN) if urlsplit(url).hostname in _FORBIDS_UNKNOWN else UNKNOWN
