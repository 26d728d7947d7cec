"""Who is asking: Basic credentials, whether they are needed, and whether they may come over this line.

Knows requests and the operator's `[auth]` settings; the users themselves are htpasswd's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aiohttp import hdrs, web
from aiohttp_basicauth import BasicAuthMiddleware

from ..errors import Forbidden, NotSignedIn
from ..ops.logs import USER
from .htpasswd import Htpasswd
from .peers import Peers, is_loopback, is_private

REALM = "yizhan"

NOBODY = ""
"""The user of an upload where anyone may upload: no htpasswd file can hold that name."""


class Auth(BasicAuthMiddleware):  # type: ignore[misc]  # the package ships no types
    """The operator's word on who may read and upload, held against one request.

    The two questions raise NotSignedIn for missing, wrong and unknown credentials alike, and Forbidden where the line
    is not fit for a password.  A 401 made of the first must carry challenge_headers() (RFC 9110, 11.6.1).
    """

    def __init__(
        self,
        users: Htpasswd,
        peers: Peers,
        *,
        upload: Literal["users", "anyone"] = "users",
        read: Literal["anyone", "users"] = "anyone",
        clear_http: Literal["private-networks", "never", "always"] = "private-networks",
    ) -> None:
        super().__init__(realm=REALM)
        self._users = users
        self._peers = peers
        self._upload = upload
        self._read = read
        self._clear_http = clear_http

    async def user_for_reading(self, request: web.BaseRequest) -> str | None:
        """Who reads; None where anyone may.

        Then credentials are not even looked at: pip, uv and netrc send what they have stored for a host without being
        asked, often the password of last year, and an answer that needs no password must not fail over one.
        """
        return None if self._read == "anyone" else await self._user(request)

    async def user_for_upload(self, request: web.BaseRequest) -> str:
        """Who uploads; NOBODY where anyone may, whatever credentials came (twine always sends some)."""
        return NOBODY if self._upload == "anyone" else await self._user(request)

    async def authenticate(self, request: web.BaseRequest) -> str | None:
        """The user whose credentials *request* carries, None where they are missing or wrong."""
        # Before the header is looked at: a 401 would make the client send its password over this very line.
        if not self._takes_passwords(request):
            raise Forbidden(
                "Passwords are not taken over plain http from this address: use https, "
                "or have the operator look at auth.clear_http."
            )
        return await super().authenticate(request) or None

    async def check_credentials(self, username: str, password: str, request: web.BaseRequest) -> str | None:
        """The user whose name and password these are, decoded as Latin-1 by the base class."""
        # Latin-1 keeps every byte, so this gives back what was sent; UTF-8 is htpasswd's to find out.
        return await self._users.check(username.encode("latin-1"), password.encode("latin-1"))

    def challenge(self) -> web.Response:
        """The answer where this object is used as a middleware."""
        return web.Response(status=401, text="Sign in to see this.\n", headers=challenge_headers())

    async def _user(self, request: web.BaseRequest) -> str:
        user = await self.authenticate(request)
        if user is not None:
            request[USER] = user
            return user
        if hdrs.AUTHORIZATION in request.headers:
            raise NotSignedIn("The user name or the password is wrong.")
        raise NotSignedIn("This needs a user name and a password.")

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
