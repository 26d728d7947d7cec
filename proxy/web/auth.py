"""Who is asking: passwords and tokens, whether they are needed, and whether they may come over this line.

Knows requests, the operator's `[auth]` settings and rules; the users themselves are htpasswd's, tokens are tokens'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aiohttp import hdrs, web
from aiohttp_basicauth import BasicAuthMiddleware

from ..config.htpasswd import decoded
from ..errors import Forbidden, NotSignedIn, TooManyTries
from ..ops.logs import USER
from ..rights import RESERVED, WITHOUT_RULES, Caller, Rule, anyone
from ..tokens import Tokens, is_token
from .htpasswd import Htpasswd
from .limits import Tries, origin_of
from .peers import Peers, is_loopback, is_private

REALM = "pypi"
"""What some keyrings know a package index by (rule 76)."""

TOO_MANY = "Too many wrong passwords or tokens came: wait a few minutes, then try again."

_READERS, _UPLOADERS = anyone({"read"}), anyone({"read", "upload"})


class Auth(BasicAuthMiddleware):  # type: ignore[misc]  # the package ships no types
    """The operator's word on who may do what, held against one request.

    The three questions raise NotSignedIn for missing, wrong and unknown credentials alike, Forbidden where the line is
    not fit for a password, TooManyTries where wrong ones came too often, and Unavailable where users or tokens cannot
    be looked up.  A 401 made of the first must carry challenge_headers() (RFC 9110, 11.6.1).
    """

    def __init__(
        self,
        users: Htpasswd,
        peers: Peers,
        *,
        tokens: Tokens,
        tries: Tries,
        rules: tuple[Rule, ...] = WITHOUT_RULES,
        upload: Literal["users", "anyone"] = "users",
        read: Literal["anyone", "users"] = "anyone",
        clear_http: Literal["private-networks", "never", "always"] = "private-networks",
    ) -> None:
        super().__init__(realm=REALM)
        self._users = users
        self._peers = peers
        self._tokens = tokens
        self._tries = tries
        self._rules = rules
        self._upload = upload
        self._read = read
        self._clear_http = clear_http

    async def reader(self, request: web.BaseRequest) -> Caller:
        """Who reads.

        Where anyone may, credentials are not even looked at: pip, uv and netrc send what they have stored for a host
        without being asked, often the password of last year, and an answer that needs none must not fail over one.
        """
        return _READERS if self._read == "anyone" else await self._signed_in(request)

    async def uploader(self, request: web.BaseRequest) -> Caller:
        """Who uploads; where anyone may, whatever credentials came (twine always sends some)."""
        return _UPLOADERS if self._upload == "anyone" else await self._signed_in(request)

    async def administrator(self, request: web.BaseRequest) -> Caller:
        """Who would change what is there: nobody may without signing in, and Caller.check tells of which projects."""
        return await self._signed_in(request)

    async def authenticate(self, request: web.BaseRequest) -> Caller | None:
        """Whose credentials *request* carries, None where they are missing or wrong."""
        # Before the header is looked at: a 401 would make the client send its password over this very line.
        if not self._takes_passwords(request):
            raise Forbidden(
                "Passwords and tokens are not taken over plain http from this address: use https, "
                "or have the operator look at auth.clear_http."
            )
        kind, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if kind.lower() == "bearer":
            return await self._by_token(text.strip(), request)
        return await super().authenticate(request) or None

    async def check_credentials(self, username: str, password: str, request: web.BaseRequest) -> Caller | None:
        """Whose name and password these are, decoded as Latin-1 by the base class; a token is known by its looks."""
        if username == RESERVED or is_token(password):
            return await self._by_token(password, request)
        if not password and is_token(username):
            return await self._by_token(username, request)
        # Latin-1 keeps every byte, so this gives back what was sent; UTF-8 is htpasswd's to find out.
        return await self._by_password(username.encode("latin-1"), password.encode("latin-1"), request)

    def challenge(self) -> web.Response:
        """The answer where this object is used as a middleware."""
        return web.Response(status=401, text="Sign in to see this.\n", headers=challenge_headers())

    async def _signed_in(self, request: web.BaseRequest) -> Caller:
        caller = await self.authenticate(request)
        if caller is not None:
            return caller
        if hdrs.AUTHORIZATION in request.headers:
            raise NotSignedIn("The user name or the password is wrong, or the token is not valid any more.")
        raise NotSignedIn("This needs a user name and a password, or a token.")

    async def _by_token(self, text: str, request: web.BaseRequest) -> Caller | None:
        token = await self._tokens.check(text)
        if token is not None and await self._users.knows(token.user):
            request[USER] = f"{token.user}:{token.id}"  # no name holds a colon
            return Caller(user=token.user, rules=self._rules, scope=token.scope, most=token.may)
        # All under one name, and after the check: nobody guesses a token, so none need be kept out for those who try.
        origin = self._origin(request)
        if seconds := self._tries.wait(RESERVED, origin):
            raise TooManyTries(TOO_MANY, seconds)
        self._tries.failed(RESERVED, origin, text.encode(errors="surrogateescape"))
        return None

    async def _by_password(self, user: bytes, password: bytes, request: web.BaseRequest) -> Caller | None:
        claimed, origin = decoded(user), self._origin(request)
        if seconds := self._tries.wait(claimed, origin):
            known = self._tries.may_recall(claimed, origin, password) and await self._users.recall(user, password)
            if not known:
                raise TooManyTries(TOO_MANY, seconds)
        else:
            known = await self._users.check(user, password)
            if known is None:
                self._tries.failed(claimed, origin, password)
                return None
        self._tries.succeeded(known, origin, password)
        request[USER] = known
        return Caller(user=known, rules=self._rules)

    def _origin(self, request: web.BaseRequest) -> str:
        return origin_of(self._peers.address(request.remote, request.headers))

    def _takes_passwords(self, request: web.BaseRequest) -> bool:
        if (
            self._clear_http == "always"
            or self._peers.scheme(request.remote, request.scheme, request.headers) == "https"
        ):
            return True
        client = self._peers.address(request.remote, request.headers)
        return is_loopback(client) or (self._clear_http == "private-networks" and is_private(client))


def challenge_headers() -> Mapping[str, str]:
    """What every 401 must say, so that browsers and keyrings ask for a password (RFC 7617, 2.1 for the charset)."""
    return {hdrs.WWW_AUTHENTICATE: f'Basic realm="{REALM}", charset="UTF-8"'}
