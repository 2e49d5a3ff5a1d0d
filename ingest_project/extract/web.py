"""Web servers, through fsspec's HTTP: bytes as they are stored, redirects only to where we may go."""

import errno
from typing import Any

from ingest_project.extract.reach import may_reach

WEB = ("http", "https")
_CONNECT_SECONDS = 30
_SILENT_SECONDS = 60
_AGAIN_LATER = (408, 425, 429)
_GONE = (404, 410)
_SERVER_ERRORS = 500


class RedirectRefused(Exception):
    """A server sends us where we may not go."""


def web_options() -> dict[str, Any]:
    """What fsspec's file system takes. Raises ImportError without aiohttp."""
    import aiohttp  # noqa: PLC0415 - an extra

    redirects = aiohttp.TraceConfig()
    redirects.on_request_redirect.append(_check_redirect)
    return {
        "client_kwargs": {
            # aiohttp's own limit is five minutes for all of a file.
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS),
            "headers": {"Accept-Encoding": "identity"},
            "auto_decompress": False,
            "trace_configs": [redirects],
        }
    }


async def _check_redirect(session: object, context: object, params: Any) -> None:
    del session, context
    target = params.response.url.join(type(params.url)(params.response.headers.get("Location", "")))
    if target.scheme not in WEB or (params.url.scheme, target.scheme) == ("https", "http"):
        raise RedirectRefused(f"its server redirects from {params.url.scheme} to {target.scheme}")
    if not may_reach(str(target)):
        raise RedirectRefused(f"its server redirects to {target.host}, which INGEST_REMOTE does not allow")


def explained(error: BaseException) -> OSError | str:
    """Say what went wrong, without the URL and its secrets; as words where a retry may mend it."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # fsspec calls every answer to a HEAD and GET that is no success so
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in _GONE:
        return FileNotFoundError(errno.ENOENT, "nothing is there")
    if isinstance(error, RedirectRefused):
        return OSError(errno.EACCES, str(error))
    if isinstance(error, ValueError) and "range requests" in str(error):
        return OSError(errno.ESPIPE, "its server sends whole files only (no ranges)")
    if isinstance(status, int) and status < _SERVER_ERRORS and status not in _AGAIN_LATER:
        return OSError(errno.EACCES, f"its server answers {status}")
    return f"its server answers {status}" if status else getattr(error, "strerror", None) or type(error).__name__
