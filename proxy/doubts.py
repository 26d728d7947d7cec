"""Which mirrors may have sent wrong bytes of a file, so that they are asked last for it.  Pure."""

from __future__ import annotations

EARLIER = "an earlier try"
"""Stands for the mirrors whose bytes are in a part that is taken up again."""


class Doubts:
    """What is known of mirrors that sent wrong bytes of one file."""

    def __init__(self) -> None:
        self.apart = False
        """One mirror at a time must be asked for this file, or the one that lies will not be found."""
        self._liars = set[str]()
        self._suspects = set[str]()

    def __bool__(self) -> bool:
        """Whether there is anything to remember."""
        return bool(self.apart or self._liars or self._suspects)

    def blame(self, used: list[str], *, mingled: bool = False) -> None:
        """What the mirrors *used* brought is not the file: in that order, or *mingled*, several at the same time."""
        if len(set(used)) == 1 and EARLIER not in used:
            self._liars.update(used)
            return
        # Which of several lied cannot be told.  Where they came one after the other, whoever broke off is likelier
        # than the one that came to the end.
        if mingled:
            self.apart = True
            return
        broke_off = set(used[:-1]) - {EARLIER}
        self._suspects.update(broke_off or set(used) - {EARLIER})

    def avoided(self) -> set[str]:
        """Whom to ask last."""
        return set(self._liars or self._suspects)
