"""A family of local upstreams, each of which imitates one real mirror byte for byte, over the same projects.

with family() as them:
    them.publish("demo", *make.wheel("demo", "1.0"))
    them.tuna.fault("/", **blocked())
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..upstream_listing import Item
from ..upstream_server import UpstreamServer, running
from .mirrors import Aliyun, Bfsu, Bucket, Cernet, Huawei, Sjtu, Tuna, Ustc


@dataclass(frozen=True, kw_only=True)
class Family:
    """The mirrors of the official index.  Each has its own port; the storage behind SJTU has its own address."""

    tuna: Tuna
    bfsu: Bfsu
    ustc: Ustc
    bucket: Bucket
    sjtu: Sjtu
    aliyun: Aliyun
    huawei: Huawei
    cernet: Cernet

    def holders(self) -> tuple[UpstreamServer, ...]:
        """Who has an own copy of pages or files; the others lead to them."""
        return self.tuna, self.bfsu, self.ustc, self.bucket, self.aliyun, self.huawei

    def mirrors(self) -> tuple[UpstreamServer, ...]:
        """Who may stand in a configuration."""
        return self.tuna, self.bfsu, self.ustc, self.sjtu, self.aliyun, self.huawei, self.cernet

    def publish(self, project: str, filename: str, body: bytes, **facts: Any) -> Item:
        """Put a file on all of them, at the same serial."""
        items = [holder.publish(project, filename, body, **facts) for holder in self.holders()]
        return items[0]

    def remove(self, project: str, filename: str | None = None) -> None:
        """Take *filename*, or all of *project*, off all of them."""
        for holder in self.holders():
            holder.listing.remove(project, filename)


@contextmanager
def family() -> Iterator[Family]:
    """All of them, in one thread."""
    tuna, bfsu, bucket, aliyun, huawei = Tuna(), Bfsu(), Bucket(address="127.0.0.2"), Aliyun(), Huawei()
    ustc, sjtu, cernet = Ustc(tuna), Sjtu(tuna, bucket), Cernet()
    them = Family(
        tuna=tuna, bfsu=bfsu, ustc=ustc, bucket=bucket, sjtu=sjtu, aliyun=aliyun, huawei=huawei, cernet=cernet
    )
    with running(*them.holders(), sjtu, cernet):
        cernet.targets = tuple(f"{one.origin}/pypi/web/" for one in (tuna, bfsu))
        yield them
