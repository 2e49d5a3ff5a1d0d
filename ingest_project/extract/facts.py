"""Size, time and ETag of a file, under whatever names its store has for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.place import Facts

_TIMES = ("LastModified", "last_modified", "updated", "mtime", "Last-Modified")
_TAGS = ("ETag", "etag", "generation", "Content-MD5", "content_md5")


def facts_of(store: Any, path: str) -> Facts:
    """Ask an fsspec file system for a file. Raises SourceUnreadable where it does not say how large it is."""
    info: Mapping[str, Any] = store.info(path)
    size: int | None = info.get("size")
    if size is None:
        raise SourceUnreadable(
            "its server does not say how large the file is: what is cut off could not be told from what is whole",
            todo="Let it send Content-Length (and no Content-Encoding), or fetch the file first.",
        )
    tag = next((str(info[name]) for name in _TAGS if info.get(name)), None)
    return Facts(size, _modified_ns(store, path, info), tag)


def _modified_ns(store: Any, path: str, info: Mapping[str, Any]) -> int | None:
    given = next((info[name] for name in _TIMES if info.get(name)), None)
    if given is None:
        try:
            given = store.modified(path)
        except NotImplementedError:
            return None
    moment = _moment(given)
    return None if moment is None else round(moment.timestamp() * 1e6) * 1000


def _moment(given: Any) -> datetime | None:
    try:
        if isinstance(given, int | float):
            return datetime.fromtimestamp(given, UTC)
        found = given if isinstance(given, datetime) else _written(str(given))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _written(text: str) -> datetime:
    return datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
