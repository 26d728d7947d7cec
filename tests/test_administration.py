"""Administration: who may have which action performed, what comes of it, and what the log says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from packaging.utils import canonicalize_name

from proxy.administration import (
    ACTIONS,
    MOST_WORDS,
    OF_NAMES,
    Action,
    Administration,
    CreateToken,
    Delete,
    Done,
    ListNames,
    ListTokens,
    Mark,
    OfNames,
    Readmit,
    Release,
    Reserve,
    RevokeTokens,
    Unyank,
    Yank,
)
from proxy.errors import BadRequest, Forbidden, NotFound
from proxy.policy import Policy
from proxy.publishing import Publishing
from proxy.rights import Caller, Rule, everything
from proxy.simple.names import NamePattern
from proxy.tokens import Tokens

from .fakes import MemoryStore
from .make import NOON, file

ACME = NamePattern("acme-*")
RULES = (
    Rule(user="wang", names=(ACME,), may=frozenset({"upload"})),
    Rule(user="li", names=(ACME,), may=frozenset({"admin"})),
    Rule(user="root", may=frozenset({"admin"})),
    Rule(user="zhao", may=frozenset({"read"})),
)
OPERATOR = everything("operator")
WHEEL = "acme_sdk-1.0-py3-none-any.whl"


def caller(user: str, *, scope: tuple[NamePattern, ...] = (), may: str = "admin") -> Caller:
    return Caller(user=user, rules=RULES, scope=scope, most=frozenset({may}))  # type: ignore[arg-type]  # a Right


class Office:
    """An administration over a store in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.publishing = Publishing(store=self.store, names=self.store, upstream=None, policy=Policy())
        self.administration = Administration(publishing=self.publishing, people=self.store, now=lambda: NOON)

    async def upload(self, name: str, filename: str, body: bytes = b"ours") -> None:
        path = self.folder / filename
        path.write_bytes(body)
        await self.publishing.upload(canonicalize_name(name), file(filename, body), path, None)

    async def perform(self, action: Action, who: Caller = OPERATOR) -> Done:
        return await self.administration.perform(action, who)

    async def state(self) -> object:
        """All that an action could change."""
        listed = {name: await self.store.files(name) for name in await self.store.claimed()}
        return listed, dict(await self.store.standings()), dict(await self.store.tokens())


@pytest.fixture
async def office(tmp_path: Path) -> Office:
    made = Office(tmp_path)
    await made.upload("acme-sdk", WHEEL)
    await made.upload("acme-sdk", "acme_sdk-2.0-py3-none-any.whl", b"second")
    await made.upload("acme-gone", "acme_gone-1.0-py3-none-any.whl")
    await made.perform(Delete(project="acme-gone", dry_run=False))
    await made.upload("other", "other-1.0-py3-none-any.whl")
    return made


UPLOADERS: list[Action] = [Yank(project="acme-sdk", version="1.0"), Unyank(project="acme-sdk", filename=WHEEL)]
ADMINISTRATORS: list[Action] = [
    Delete(project="acme-sdk", version="1.0", dry_run=False),
    Delete(project="acme-sdk"),
    Mark(project="acme-sdk", status="archived"),
    Reserve(project="acme-new"),
    Release(project="acme-gone"),
    Readmit(filename="acme_gone-1.0-py3-none-any.whl"),
]
OPERATORS: list[Action] = [CreateToken(user="li"), ListTokens(), RevokeTokens(user="li")]


def test_every_action_there_is_stands_in_the_tables_of_this_test() -> None:
    told = {type(action) for action in (*UPLOADERS, *ADMINISTRATORS, *OPERATORS)} | {ListNames}
    assert told == set(ACTIONS.values()) == set(get_args(Action))
    assert set(OF_NAMES.values()) == set(get_args(OfNames))
    assert list(ACTIONS) == [kind.__struct_config__.tag for kind in ACTIONS.values()]


@pytest.mark.parametrize("action", [*UPLOADERS, *ADMINISTRATORS, *OPERATORS], ids=repr)
@pytest.mark.parametrize(
    ("who", "level"),
    [
        (caller("zhao"), 0),
        (caller("nobody"), 0),
        (caller("wang"), 1),
        (caller("li", may="upload"), 1),
        (caller("root", scope=(ACME,), may="upload"), 1),
        (caller("li"), 2),
        (caller("root", scope=(ACME,)), 2),
        (caller("li", scope=(NamePattern("other"),)), 0),
        (caller("root", may="read"), 0),
        (caller("root"), 3),
        (OPERATOR, 3),
    ],
)
async def test_an_action_is_refused_to_whoever_has_no_right_to_it_and_changes_nothing(
    office: Office, action: Action, who: Caller, level: int
) -> None:
    wants = 1 if action in UPLOADERS else 2 if action in ADMINISTRATORS else 3
    before = await office.state()
    if level >= wants:
        assert isinstance(await office.perform(action, who), Done)
    else:
        with pytest.raises(Forbidden):
            await office.perform(action, who)
        assert await office.state() == before


async def test_names_are_listed_to_whoever_may_upload_to_them(office: Office) -> None:
    async def listed(who: Caller) -> list[tuple[str, str, int]]:
        return [(one.name, one.state, one.files) for one in (await office.perform(ListNames(), who)).names or ()]

    await office.perform(Reserve(project="Acme.New"))
    acme = [("acme-gone", "emptied", 0), ("acme-new", "reserved", 0), ("acme-sdk", "private", 2)]
    assert await listed(OPERATOR) == [*acme, ("other", "private", 1)]
    assert await listed(caller("wang")) == acme
    assert await listed(caller("zhao")) == []


async def test_a_name_tells_what_was_said_of_it(office: Office) -> None:
    await office.perform(Mark(project="acme-sdk", status="deprecated", reason="see acme-new"))
    await office.perform(Reserve(project="acme-new"))
    names = {one.name: one for one in (await office.perform(ListNames())).names or ()}
    assert (names["acme-sdk"].status, names["acme-sdk"].reason) == ("deprecated", "see acme-new")
    assert (names["acme-new"].reserved, names["acme-sdk"].reserved) == (NOON, None)


async def test_a_version_is_yanked_with_its_reason_and_unyanked(office: Office) -> None:
    done = await office.perform(Yank(project="Acme_SDK", version="1", reason="breaks\n  logins 登录"))
    assert (done.project, done.files) == ("acme-sdk", (WHEEL,))
    yanked = {file.filename: file.yanked for file in await office.store.files(canonicalize_name("acme-sdk"))}
    assert yanked == {WHEEL: "breaks logins 登录", "acme_sdk-2.0-py3-none-any.whl": False}
    assert (await office.perform(Unyank(project="acme-sdk", version="1.0"))).files == (WHEEL,)
    assert (await office.perform(Unyank(project="acme-sdk", version="1.0"))).files == ()


async def test_a_deletion_is_only_told_until_it_is_asked_for(office: Office) -> None:
    before = await office.state()
    assert (await office.perform(Delete(project="acme-sdk"))).dry_run is True
    assert await office.state() == before
    done = await office.perform(Delete(project="acme-sdk", version="1.0", dry_run=False))
    assert done == Done(project="acme-sdk", files=(WHEEL,), dry_run=False)
    assert [file.filename for file in await office.store.files(canonicalize_name("acme-sdk"))] == [
        "acme_sdk-2.0-py3-none-any.whl"
    ]


async def test_a_filename_that_two_projects_could_have_is_readmitted_by_who_may_change_both(office: Office) -> None:
    filename = "acme_sdk-1.0-1.tar.gz"  # version 1.0.post1 of acme-sdk, or version 1 of acme-sdk-1-0
    await office.upload("acme-sdk", filename)
    await office.perform(Delete(project="acme-sdk", filename=filename, dry_run=False))
    one = Caller(user="li", rules=(Rule(names=(NamePattern("acme-sdk"),), may=frozenset({"admin"})),))
    with pytest.raises(Forbidden):
        await office.perform(Readmit(filename=filename), one)
    assert (await office.perform(Readmit(filename=filename), caller("li"))).files == (filename,)
    await office.upload("acme-sdk", filename, b"other bytes")


@pytest.mark.parametrize(
    "action",
    [
        Reserve(project="../x"),
        Reserve(project=""),
        Reserve(project="\N{KELVIN SIGN}ube"),
        Release(project="a b"),
        Readmit(filename="../acme_sdk-1.0-py3-none-any.whl"),
        Readmit(filename="acme.whl"),
        Yank(project="acme-sdk"),
        Yank(project="acme-sdk", version="1.0", filename=WHEEL),
        Yank(project="acme-sdk", filename="acme"),
        Yank(project="acme-sdk", version="1.0", reason="\x1b[2J"),
        Yank(project="acme-sdk", version="1.0", reason="\N{RIGHT-TO-LEFT OVERRIDE}"),
        Yank(project="acme-sdk", version="1.0", reason="x" * (MOST_WORDS + 1)),
        Unyank(project="acme-sdk"),
        Delete(project="acme-sdk", version="1.0", filename=WHEEL),
        Mark(project="acme-sdk", status="archived", reason="\0"),
        Release(project="acme-sdk"),
        CreateToken(user=""),
        CreateToken(user="a:b"),
        CreateToken(user="__token__"),
        CreateToken(user="wang", scope=("acme*",)),
        CreateToken(user="wang", lasts=0.0),
        CreateToken(user="wang", lasts=-1.0),
        CreateToken(user="wang", lasts=1e300),
        CreateToken(user="wang", note="\x07"),
        RevokeTokens(),
        RevokeTokens(ids=("x",), user="wang"),
    ],
    ids=repr,
)
async def test_nonsense_is_refused_and_changes_nothing(office: Office, action: Action) -> None:
    before = await office.state()
    with pytest.raises(BadRequest):
        await office.perform(action)
    assert await office.state() == before


@pytest.mark.parametrize(
    "action",
    [
        Yank(project="acme-sdk", version="3.0"),
        Delete(project="nobodys"),
        Release(project="nobodys"),
        Mark(project="nobodys", status="archived"),
        Readmit(filename="nobodys-1.0-py3-none-any.whl"),
        RevokeTokens(ids=("nobodys",)),
    ],
    ids=repr,
)
async def test_what_is_not_there_is_not_found(office: Office, action: Action) -> None:
    with pytest.raises(NotFound):
        await office.perform(action)


async def test_a_new_token_signs_in_and_what_is_listed_of_it_does_not(office: Office) -> None:
    done = await office.perform(CreateToken(user="wang", scope=("Acme-*",), lasts=60.0, note="CI of acme"))
    assert done.secret is not None
    token = await Tokens(office.store, now=lambda: NOON).check(done.secret)
    assert token is not None
    assert (token.user, token.scope, token.may) == ("wang", ("acme-*",), frozenset({"upload"}))
    listed = await office.perform(ListTokens())
    assert listed.tokens == done.tokens
    text = msgspec.json.encode(listed).decode()
    assert token.digest not in text
    assert done.secret.rpartition("_")[2] not in text


async def test_tokens_are_revoked_by_id_or_by_user(office: Office) -> None:
    made = [(await office.perform(CreateToken(user=user))).tokens for user in ("wang", "wang", "li")]
    first, second, other = (tokens[0] for tokens in made if tokens)
    done = await office.perform(RevokeTokens(ids=(first.id, first.id)))
    assert [token.id for token in done.tokens or ()] == [first.id]
    done = await office.perform(RevokeTokens(user="wang"))
    assert [token.id for token in done.tokens or ()] == [second.id]
    assert (await office.perform(RevokeTokens(user="wang"))).tokens == ()
    left = [token.id for token in (await office.perform(ListTokens())).tokens or () if token.revoked is None]
    assert left == [other.id]
    assert [token.id for token in (await office.perform(ListTokens(user="li"))).tokens or ()] == [other.id]


async def test_each_change_is_one_line_of_the_log_and_nothing_else_is(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "proxy.administration")
    li = caller("li")
    await office.perform(ListNames(), li)
    await office.perform(Delete(project="acme-sdk"), li)
    await office.perform(Unyank(project="acme-sdk", version="1.0"), li)
    with pytest.raises(Forbidden):
        await office.perform(Delete(project="other", dry_run=False), li)
    assert caplog.messages == []
    await office.perform(Yank(project="acme-sdk", version="1.0"), li)
    await office.perform(Delete(project="acme-sdk", dry_run=False), li)
    await office.perform(Reserve(project="acme-new"), li)
    await office.perform(Release(project="acme-new"), li)
    await office.perform(Mark(project="acme-sdk", status="archived"), li)
    await office.perform(Readmit(filename=WHEEL), li)
    made = (await office.perform(CreateToken(user="wang"))).tokens or ()
    await office.perform(RevokeTokens(user="wang"))
    assert caplog.messages == [
        "li yanked 1 files of acme-sdk (1.0)",
        "li deleted 2 files of acme-sdk",
        "li reserved acme-new",
        "li released acme-new: it is public from now on",
        "li made acme-sdk archived",
        f"li lets the deleted filename {WHEEL} be uploaded again",
        f"operator made the token {made[0].id} of wang",
        f"operator revoked 1 tokens: {made[0].id}",
    ]


async def test_no_secret_stands_in_the_log(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    done = await office.perform(CreateToken(user="wang"))
    assert done.secret is not None
    assert done.secret.rpartition("_")[2] not in caplog.text
