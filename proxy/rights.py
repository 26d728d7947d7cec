"""Who may do what with which projects: the operator's `[[right]]` tables, and what a token leaves of them.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from packaging.utils import NormalizedName

from .errors import Forbidden
from .simple.names import NamePattern

Right: TypeAlias = Literal["read", "upload", "admin"]

EVERYBODY = "*"
"""In place of a user, in a rule: everybody who has signed in."""

RESERVED = "__token__"
"""The user name under which clients send a token: never a person."""

OF: dict[Right, frozenset[Right]] = {
    "read": frozenset({"read"}),
    "upload": frozenset({"read", "upload"}),
    "admin": frozenset({"read", "upload", "admin"}),
}
"""What each right comes with: who may upload may look at it, who may delete may do all."""

_REFUSED = {
    "read": "read",
    "upload": "upload to",
    "admin": "change",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One `[[right]]` table."""

    user: str = EVERYBODY
    names: tuple[NamePattern, ...] = ()
    """Empty is every name."""
    may: frozenset[Right] = frozenset({"read", "upload"})

    def grants(self, user: str, right: Right, name: NormalizedName) -> bool:
        return (
            self.user in (EVERYBODY, user)
            and (not self.names or any(pattern.covers(name) for pattern in self.names))
            and any(right in OF[given] for given in self.may)
        )


WITHOUT_RULES = (Rule(),)
"""Where no rule is written, whoever signs in may read and upload everything; and nobody may delete from afar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever asks, and what of it is granted."""

    user: str
    """As an answer and the log may name it; empty where nobody needs to sign in."""
    rules: tuple[Rule, ...]
    scope: tuple[NamePattern, ...] = ()
    """What a token is for; empty is everything."""
    most: frozenset[Right] = frozenset(OF)
    """What a token may be used for."""

    def may(self, right: Right, name: NormalizedName) -> bool:
        """Whether the private project *name* is open to this caller for *right*."""
        if self.scope and not any(pattern.covers(name) for pattern in self.scope):
            return False
        if not any(right in OF[given] for given in self.most):
            return False
        return any(rule.grants(self.user, right, name) for rule in self.rules)

    def check(self, right: Right, name: NormalizedName) -> None:
        """Raise Forbidden where it is not (rule U12)."""
        if self.may(right, name):
            return
        if any(rule.grants(self.user, right, name) for rule in self.rules):
            raise Forbidden(f"This token of user {self.user!r} isn't allowed to {_REFUSED[right]} project {name!r}.")
        raise Forbidden(f"The user {self.user!r} isn't allowed to {_REFUSED[right]} project {name!r}.")


def fault_of_user(name: str) -> str:
    """Why no user can be called *name*, as the end of a sentence; empty where nothing speaks against it."""
    if not name or name != name.strip() or not name.isprintable() or ":" in name or name.startswith("#"):
        return "is no user name: it should be printable text without a colon, a # in front, or space around it"
    if name == RESERVED:
        return f"has the name {RESERVED}, which is kept for API tokens"
    if name == EVERYBODY:
        return f"has the name {EVERYBODY}, which means everybody in the configuration"
    return ""


def everything(user: str = "") -> Caller:
    """A caller for whom all is open: the operator at the machine itself."""
    return Caller(user=user, rules=(Rule(may=frozenset({"admin"})),))


def anyone(may: Iterable[Right]) -> Caller:
    """A caller who need not sign in for what *may* says."""
    return Caller(user="", rules=(Rule(may=frozenset(may)),))
