"""Mirrors known by name: pure data.

Each is a public copy of the official index.  The index itself has no preset: whoever wants it gives its URL.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A mirror that a configuration may name instead of giving its URL."""

    name: str
    url: str
    """Of the Simple API's root, with the slash at its end."""
    note: str
    """One line for the operator who chooses."""


PRESETS = (
    Preset(
        name="tuna",
        url="https://pypi.tuna.tsinghua.edu.cn/simple/",
        note="Tsinghua University: full copy, JSON with sizes and times; refuses whole subnets now and then",
    ),
    Preset(
        name="aliyun",
        url="https://mirrors.aliyun.com/pypi/simple/",
        note="Alibaba Cloud: HTML without sizes and times; slows heavy users down instead of refusing them",
    ),
    Preset(
        name="ustc",
        url="https://mirrors.ustc.edu.cn/pypi/simple/",
        note="University of Science and Technology: JSON; files it does not hold redirect to Tsinghua",
    ),
    Preset(
        name="bfsu",
        url="https://mirrors.bfsu.edu.cn/pypi/web/simple/",
        note="Beijing Foreign Studies University: Tsinghua's team and software; a file may be missing",
    ),
    Preset(
        name="tencent",
        url="https://mirrors.cloud.tencent.com/pypi/simple/",
        note="Tencent Cloud: HTML without sizes and times",
    ),
    Preset(
        name="huawei",
        url="https://repo.huaweicloud.com/repository/pypi/simple/",
        note="Huawei Cloud: files that few ask for are slow to start",
    ),
    Preset(
        name="nju",
        url="https://mirror.nju.edu.cn/pypi/web/simple/",
        note="Nanjing University: full or nearly full copy",
    ),
)
"""In the order in which they are worth trying."""

DEFAULT = ("tuna", "aliyun", "ustc")
"""The mirrors of an index that names none, in this order: two teams and a company, that seldom fail together."""
