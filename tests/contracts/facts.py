"""What every Facts must do.  Subclass it with a `facts` fixture."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from proxy.storage import Fact, Facts

from .pages import NUMPY, SCIPY

TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
WHOLE = Fact(size=1234, upload_time=TIME, metadata="ab" * 32, listed="cd" * 32, reason="broken")
GUESSED = Fact(size=0, estimated=TIME)


class FactsContract:
    async def test_nothing_is_known_of_files_never_seen(self, facts: Facts) -> None:
        assert await facts.load("tuna", NUMPY) == {}

    async def test_facts_come_back_as_they_were_saved(self, facts: Facts) -> None:
        known = {"aa" * 32: WHOLE, "bb" * 32: GUESSED, "cc" * 32: Fact()}
        await facts.save("tuna", NUMPY, known)
        assert await facts.load("tuna", NUMPY) == known

    async def test_facts_about_ten_thousand_files_come_back(self, facts: Facts) -> None:
        known = {hashlib.sha256(b"%d" % number).hexdigest(): Fact(size=number) for number in range(10_000)}
        await facts.save("tuna", NUMPY, known)
        assert await facts.load("tuna", NUMPY) == known

    async def test_saving_replaces_what_was_known(self, facts: Facts) -> None:
        await facts.save("tuna", NUMPY, {"aa" * 32: WHOLE})
        await facts.save("tuna", NUMPY, {"bb" * 32: GUESSED})
        assert await facts.load("tuna", NUMPY) == {"bb" * 32: GUESSED}

    async def test_indexes_and_projects_are_kept_apart(self, facts: Facts) -> None:
        await facts.save("tuna", NUMPY, {"aa" * 32: WHOLE})
        assert await facts.load("tuna", SCIPY) == {}
        assert await facts.load("ustc", NUMPY) == {}
