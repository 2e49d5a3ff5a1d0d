"""The allow-list of URLs that a worker may read from (INGEST_REMOTE): by prefix, redirects included."""

from urllib.parse import SplitResult, unquote, urlsplit

from ingest_project.errors import SourceUnreadable
from ingest_project.settings import settings

_DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432}


def may_reach(url: str) -> bool:
    """Whether INGEST_REMOTE is unset, or has a prefix of the URL: scheme, host and port, whole parts of the path."""
    allowed = settings().remote
    return allowed is None or any(_is_within(urlsplit(url), urlsplit(prefix)) for prefix in allowed.split())


def refuse_out_of_reach(url: str, location: str) -> None:
    """Raise SourceUnreadable where the URL may not be read."""
    if not may_reach(url):
        raise SourceUnreadable(
            f"{location} is outside the URLs that INGEST_REMOTE allows",
            todo="Move the data below one of them, or let INGEST_REMOTE name the beginning of its URL as well.",
        )


def _is_within(url: SplitResult, prefix: SplitResult) -> bool:
    path, folder = unquote(url.path), unquote(prefix.path).rstrip("/")
    if ".." in path.split("/"):
        return False
    is_same_server = (_scheme(url), url.hostname, _port(url)) == (_scheme(prefix), prefix.hostname, _port(prefix))
    return is_same_server and (path == folder or path.startswith(f"{folder}/"))


def _scheme(url: SplitResult) -> str:
    return "postgresql" if url.scheme.lower() == "postgres" else url.scheme.lower()


def _port(url: SplitResult) -> int | None:
    return url.port or _DEFAULT_PORTS.get(_scheme(url))
