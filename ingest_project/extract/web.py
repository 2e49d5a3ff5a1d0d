"""How fsspec reads from web servers: bytes as they are stored, redirects only to where INGEST_REMOTE allows."""

import errno
from typing import Any

from ingest_project.extract.reach import may_reach

WEB_SCHEMES = ("http", "https")
_CONNECT_SECONDS = 30
_READ_SECONDS = 60
_RETRYABLE = (408, 425, 429)
_GONE = (404, 410)
_FIRST_SERVER_ERROR = 500


class RedirectRefused(Exception):
    """A server redirects to where INGEST_REMOTE does not allow."""


def web_options() -> dict[str, Any]:
    """The options of fsspec's HTTP file system. Raises ImportError without aiohttp."""
    import aiohttp  # noqa: PLC0415 - an extra

    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_check_redirect)
    return {
        "client_kwargs": {
            # aiohttp's own limit is five minutes for all of a file.
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS),
            "headers": {"Accept-Encoding": "identity"},
            "auto_decompress": False,
            "trace_configs": [redirects],
        }
    }


async def _check_redirect(session: object, context: object, params: Any) -> None:
    del session, context
    target = params.response.url.join(type(params.url)(params.response.headers.get("Location", "")))
    if target.scheme not in WEB_SCHEMES or (params.url.scheme, target.scheme) == ("https", "http"):
        raise RedirectRefused(f"its server redirects from {params.url.scheme} to {target.scheme}")
    if not may_reach(str(target)):
        raise RedirectRefused(f"its server redirects to {target.host}, which INGEST_REMOTE does not allow")


def translate_web_error(error: BaseException) -> OSError | str:
    """Say what went wrong, without the URL and its secrets; as words where a retry may mend it."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # so fsspec calls every answer to a HEAD or GET that is no success
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in _GONE:
        return FileNotFoundError(errno.ENOENT, "nothing is there")
    if isinstance(error, RedirectRefused):
        return OSError(errno.EACCES, str(error))
    if isinstance(error, ValueError) and "range requests" in str(error):
        return OSError(errno.ESPIPE, "its server sends whole files only (no ranges)")
    if isinstance(status, int) and status < _FIRST_SERVER_ERROR and status not in _RETRYABLE:
        return OSError(errno.EACCES, f"its server answers {status}")
    return f"its server answers {status}" if status else getattr(error, "strerror", None) or type(error).__name__
