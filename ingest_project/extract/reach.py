"""Which URLs a worker may read: those that begin with a prefix of its own setting, redirects included."""

from urllib.parse import SplitResult, unquote, urlsplit

from ingest_project.errors import SourceUnreadable
from ingest_project.settings import settings


def may_reach(url: str) -> bool:
    """Whether INGEST_REMOTE is unset, or has a prefix of the URL: scheme, host and port, whole parts of the path."""
    allowed = settings().remote
    return allowed is None or any(_within(urlsplit(url), urlsplit(prefix)) for prefix in allowed.split())


def refuse_out_of_reach(url: str, location: str) -> None:
    """Raise SourceUnreadable where the URL may not be read."""
    if not may_reach(url):
        raise SourceUnreadable(
            f"{location} is outside the URLs that INGEST_REMOTE allows",
            todo="Move the data below one of them, or let INGEST_REMOTE name the beginning of its URL as well.",
        )


def _within(url: SplitResult, prefix: SplitResult) -> bool:
    path, top = unquote(url.path), unquote(prefix.path).rstrip("/")
    if ".." in path.split("/"):
        return False
    same = (url.scheme.lower(), url.hostname, url.port) == (prefix.scheme.lower(), prefix.hostname, prefix.port)
    return same and (path == top or path.startswith(f"{top}/"))
