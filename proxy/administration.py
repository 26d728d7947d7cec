"""What operators do with private projects and tokens: who may, that it is done, and one line in the log.

Knows Publishing, People and rights.  Over which line an action came is for web/api, web/control and commands to know.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec
from packaging.utils import NormalizedName

from .config.values import read_pattern
from .errors import BadRequest, Forbidden, NotFound
from .publishing import Known, Publishing, Selection
from .rights import EVERYBODY, Caller, Right, fault_of_user
from .simple.names import is_distribution, parse_name, projects_of
from .storage import People, Status, Token
from .tokens import make_token

MOST_WORDS = 1000
"""Characters of a reason or a note."""

LONGEST = 100 * 366 * 86400.0
"""Seconds that a token may be made for; one without an end has none."""

logger = logging.getLogger(__name__)


class _Fields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an action is told: as JSON, an object of these names."""


class ListNames(_Fields, frozen=True, kw_only=True, tag="names"):
    """The private projects that the caller may upload to."""


class Reserve(_Fields, frozen=True, kw_only=True, tag="reserve"):
    """Make a name private before anything is uploaded."""

    project: str
    confusable: bool = False
    """It may look like another private name."""


class Release(_Fields, frozen=True, kw_only=True, tag="release"):
    """Give a name without files back to the public: from then on the mirrors are asked about it."""

    project: str


class Readmit(_Fields, frozen=True, kw_only=True, tag="readmit"):
    """Let a filename that was deleted be uploaded again."""

    filename: str


class Yank(_Fields, frozen=True, kw_only=True, tag="yank"):
    """Have installers pass a version, or one file of it, by (PEP 592)."""

    project: str
    version: str | None = None
    filename: str | None = None
    reason: str | None = None


class Unyank(_Fields, frozen=True, kw_only=True, tag="unyank"):
    """Take that back."""

    project: str
    version: str | None = None
    filename: str | None = None


class Delete(_Fields, frozen=True, kw_only=True, tag="delete"):
    """Delete a version, one file of it, or with neither all files of a project, for ever."""

    project: str
    version: str | None = None
    filename: str | None = None
    dry_run: bool = True
    """Only say which files it would be."""


class Mark(_Fields, frozen=True, kw_only=True, tag="status"):
    """Say what a project is (PEP 792)."""

    project: str
    status: Status
    reason: str | None = None


class CreateToken(_Fields, frozen=True, kw_only=True, tag="create-token"):
    """Make a token of a user."""

    user: str
    scope: tuple[str, ...] = ()
    """Projects, and patterns such as `acme-*`; empty is all that the user has a right to."""
    may: Right = "upload"
    """The most that it may be used for."""
    lasts: float | None = None
    """Seconds; None is without an end."""
    note: str = ""


class ListTokens(_Fields, frozen=True, kw_only=True, tag="tokens"):
    """All tokens that were ever made, or those of one user."""

    user: str | None = None


class RevokeTokens(_Fields, frozen=True, kw_only=True, tag="revoke-tokens"):
    """Make tokens worthless: those of the *ids*, or all of one *user*."""

    ids: tuple[str, ...] = ()
    user: str | None = None


OfNames: TypeAlias = ListNames | Reserve | Release | Readmit | Yank | Unyank | Delete | Mark
OfTokens: TypeAlias = CreateToken | ListTokens | RevokeTokens
Action: TypeAlias = OfNames | OfTokens

OF_NAMES: Mapping[str, type[OfNames]] = MappingProxyType(
    {
        "names": ListNames,
        "reserve": Reserve,
        "release": Release,
        "readmit": Readmit,
        "yank": Yank,
        "unyank": Unyank,
        "delete": Delete,
        "status": Mark,
    }
)
"""By the name of the action, which is its tag."""

ACTIONS: Mapping[str, type[Action]] = MappingProxyType(
    {**OF_NAMES, "create-token": CreateToken, "tokens": ListTokens, "revoke-tokens": RevokeTokens}
)


class NameState(msgspec.Struct, frozen=True, kw_only=True):
    """What one private name is like."""

    name: str
    state: Literal["private", "emptied", "reserved"]
    """It has files, had some once, or was reserved and has none yet."""
    files: int
    status: Status = "active"
    reason: str | None = None
    """Of the status."""
    reserved: datetime | None = None
    """When an operator reserved it; None where an upload claimed it."""


class TokenState(msgspec.Struct, frozen=True, kw_only=True):
    """What people may know of a token; Token itself also holds what its secret is checked by."""

    id: str
    user: str
    scope: tuple[str, ...]
    may: tuple[Right, ...]
    note: str
    created: datetime
    expires: datetime | None
    used: datetime | None
    revoked: datetime | None


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of an action; None stands in what it has nothing to do with."""

    project: str | None = None
    files: tuple[str, ...] | None = None
    """Filenames that changed, or with a dry run would."""
    dry_run: bool | None = None
    status: Status | None = None
    names: tuple[NameState, ...] | None = None
    tokens: tuple[TokenState, ...] | None = None
    """The tokens asked for, made, or revoked now."""
    secret: str | None = None
    """The new token itself: it is nowhere kept, and cannot be shown again."""


class Administration:
    """Performs actions, each for a caller who has the right to it; *now* is aware, *chance* gives random bytes.

    The errors are those of Publishing and People, Forbidden where the caller may not, and BadRequest for nonsense.
    """

    def __init__(
        self,
        *,
        publishing: Publishing,
        people: People,
        now: Callable[[], datetime],
        chance: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._publishing = publishing
        self._people = people
        self._now = now
        self._chance = chance

    async def perform(self, action: Action, caller: Caller) -> Done:
        """Do *action*; every change of anything is one line of the log."""
        match action:
            case ListNames():
                return await self._names(caller)
            case Reserve() | Release() | Readmit():
                return await self._name(action, caller)
            case Yank() | Unyank():
                return await self._yank(action, caller)
            case Delete():
                return await self._delete(action, caller)
            case Mark():
                return await self._mark(action, caller)
            case CreateToken() | ListTokens() | RevokeTokens():
                _check_runs_all(caller)
                return await self._tokens(action, caller)

    async def _names(self, caller: Caller) -> Done:
        known = await self._publishing.known()
        return Done(names=tuple(_name_state(one) for one in known if caller.may("upload", one.name)))

    async def _name(self, action: Reserve | Release | Readmit, caller: Caller) -> Done:
        if isinstance(action, Readmit):
            names = projects_of(_filename(action.filename))
            if not names:
                raise BadRequest(f"{action.filename} is no file of any project.")
            for name in names:
                caller.check("admin", name)
            await self._publishing.readmit(action.filename)
            _note(caller, f"lets the deleted filename {action.filename} be uploaded again")
            return Done(files=(action.filename,))
        name = _project(action.project)
        caller.check("admin", name)
        if isinstance(action, Reserve):
            await self._publishing.reserve(name, now=self._now(), confusable=action.confusable)
            _note(caller, f"reserved {name}")
        else:
            await self._publishing.release(name)
            _note(caller, f"released {name}: it is public from now on")
        return Done(project=name)

    async def _yank(self, action: Yank | Unyank, caller: Caller) -> Done:
        name, which = _project(action.project), _selection(action)
        if which == Selection():
            raise BadRequest("Say which version or which file.")
        yanked: bool | str = isinstance(action, Yank)
        if isinstance(action, Yank) and action.reason:
            yanked = _words(action.reason)
        caller.check("upload", name)
        files = await self._publishing.yank(name, which, yanked)
        if files:
            _note(caller, f"{'yanked' if yanked else 'unyanked'} {len(files)} files of {_which(name, which)}")
        return Done(project=name, files=files)

    async def _delete(self, action: Delete, caller: Caller) -> Done:
        name, which = _project(action.project), _selection(action)
        caller.check("admin", name)
        files = await self._publishing.delete(name, which, dry_run=action.dry_run)
        if files and not action.dry_run:
            _note(caller, f"deleted {len(files)} files of {_which(name, which)}")
        return Done(project=name, files=files, dry_run=action.dry_run)

    async def _mark(self, action: Mark, caller: Caller) -> Done:
        name = _project(action.project)
        reason = _words(action.reason) if action.reason else None
        caller.check("admin", name)
        await self._publishing.mark(name, action.status, reason)
        _note(caller, f"made {name} {action.status}")
        return Done(project=name, status=action.status)

    async def _tokens(self, action: OfTokens, caller: Caller) -> Done:
        match action:
            case CreateToken():
                token, secret = self._made(action)
                await self._people.add_token(token)
                _note(caller, f"made the token {token.id} of {token.user}")
                return Done(tokens=(_token_state(token),), secret=secret)
            case ListTokens():
                known = (await self._people.tokens()).values()
                return Done(tokens=tuple(_token_state(token) for token in known if action.user in (None, token.user)))
            case RevokeTokens():
                return await self._revoke(action, caller)

    def _made(self, action: CreateToken) -> tuple[Token, str]:
        try:
            scope = tuple(map(read_pattern, action.scope))
        except ValueError as error:
            raise BadRequest(f"{error}.") from None
        now = self._now()
        expires = None
        if action.lasts is not None:
            if not 0 < action.lasts <= LONGEST:
                raise BadRequest("A token has to last for more than no time, and not for more than a hundred years.")
            expires = now + timedelta(seconds=action.lasts)
        if fault := fault_of_user(action.user):
            raise BadRequest(f"{action.user!r} {fault}.")
        return make_token(
            action.user,
            scope=scope,
            may=frozenset({action.may}),
            expires=expires,
            note=_words(action.note),
            now=now,
            chance=self._chance,
        )

    async def _revoke(self, action: RevokeTokens, caller: Caller) -> Done:
        if bool(action.ids) == (action.user is not None):
            raise BadRequest("Say which tokens, or of which user.")
        known = await self._people.tokens()
        ids = action.ids or [token.id for token in known.values() if token.user == action.user]
        fresh = [key for key in dict.fromkeys(ids) if key not in known or known[key].revoked is None]
        if not fresh:
            return Done(tokens=())
        await self._people.revoke(fresh)
        _note(caller, f"revoked {len(fresh)} tokens: {', '.join(fresh)}")
        after = await self._people.tokens()
        return Done(tokens=tuple(_token_state(after[key]) for key in fresh))


def _check_runs_all(caller: Caller) -> None:
    """Raise Forbidden unless *caller* may do everything with every project: a token may be anybody's."""
    rules = (rule for rule in caller.rules if rule.user in (EVERYBODY, caller.user))
    if caller.scope or "admin" not in caller.most or not any("admin" in rule.may and not rule.names for rule in rules):
        raise Forbidden("Tokens are for those who may change every project.")


def _project(text: str) -> NormalizedName:
    try:
        return parse_name(text)
    except NotFound as error:
        # Not that a project is missing: no project can be called so.
        raise BadRequest(str(error)) from None


def _filename(text: str) -> str:
    if not is_distribution(text):
        raise BadRequest("That is not the name of a distribution file.")
    return text


def _selection(action: Yank | Unyank | Delete) -> Selection:
    if action.version is not None and action.filename is not None:
        raise BadRequest("Say which version or which file, not both.")
    filename = None if action.filename is None else _filename(action.filename)
    version = None if action.version is None else _words(action.version)
    return Selection(version=version, filename=filename)


def _words(text: str) -> str:
    """*text*, which pages, lists and logs show: one line of it."""
    if len(text) > MOST_WORDS or any(not letter.isprintable() and not letter.isspace() for letter in text):
        raise BadRequest(f"Text has at most {MOST_WORDS} characters, and no control characters among them.")
    return " ".join(text.split())


def _which(name: NormalizedName, which: Selection) -> str:
    return f"{name} ({which.version or which.filename})" if which != Selection() else name


def _name_state(known: Known) -> NameState:
    standing = known.standing
    return NameState(
        name=known.name,
        state=known.state,
        files=known.files,
        status="active" if standing is None else standing.status,
        reason=None if standing is None else standing.reason,
        reserved=None if standing is None else standing.reserved,
    )


def _token_state(token: Token) -> TokenState:
    return TokenState(
        id=token.id,
        user=token.user,
        scope=tuple(map(str, token.scope)),
        may=tuple(sorted(token.may)),
        note=token.note,
        created=token.created,
        expires=token.expires,
        used=token.used,
        revoked=token.revoked,
    )


def _note(caller: Caller, did: str) -> None:
    """One line for whoever asks later who did this."""
    logger.info("%s %s", caller.user or "anyone", did)
