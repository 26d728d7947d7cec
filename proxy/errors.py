"""
What can go wrong, named by what it means and never by an HTTP status:

* ProxyError
  x NotFound
  x Forbidden
  x NotSignedIn
  x TooManyTries
  x BadUpload
    - FileExists
    - TooLarge
    - OutOfUse
  x BadRequest
  x Unavailable
    - StoreDown
    - DiskFull
    - UpstreamDown
      + MirrorFailed
      + BadDigest

Each message is one plain sentence that a client may read.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Base of every error this package raises on purpose."""


class NotFound(ProxyError):
    """No such project or file: every side that could know said so."""


class Forbidden(ProxyError):
    """Known and refused: by policy, or to this user."""


class NotSignedIn(ProxyError):
    """Credentials are needed, and none or wrong ones came."""


class TooManyTries(ProxyError):
    """Wrong credentials came so often that none are looked at for a while."""

    def __init__(self, message: str, retry_after: float) -> None:
        """*retry_after*: seconds after which asking again makes sense."""
        super().__init__(message)
        self.retry_after = retry_after


class BadUpload(ProxyError):
    """The upload form contradicts itself, its file, or the rules."""


class FileExists(BadUpload):
    """A file of that name was uploaded before with other bytes; files never change."""


class TooLarge(BadUpload):
    """More bytes than a named limit lets in."""


class OutOfUse(BadUpload):
    """An action of the upload API that was retired long ago."""


class BadRequest(ProxyError):
    """What was asked of a private project cannot be done, or makes no sense: nothing was changed."""


class Unavailable(ProxyError):
    """It could not be found out now; the same question may be answered later."""

    retry_after = 5
    """Seconds after which asking again makes sense."""


class StoreDown(Unavailable):
    """The store of private files cannot be read or written."""


class DiskFull(Unavailable):
    """There is no room for what came."""


class UpstreamDown(Unavailable):
    """No mirror could answer, and nothing is remembered."""


class MirrorFailed(UpstreamDown):
    """One mirror did not do its part; another may."""


class BadDigest(UpstreamDown):
    """A mirror sent bytes that are not the file the page lists."""
