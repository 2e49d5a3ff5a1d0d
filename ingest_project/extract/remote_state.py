"""Size, time and ETag of a remote file: each store has other names for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.input_file import FileState

_TIME_KEYS = ("LastModified", "last_modified", "updated", "mtime", "Last-Modified")
_ETAG_KEYS = ("ETag", "etag", "generation", "Content-MD5", "content_md5")


def remote_state(store: Any, path: str) -> FileState:
    """Ask an fsspec file system for a file. Raises SourceUnreadable where it does not say how large it is."""
    info: Mapping[str, Any] = store.info(path)
    size: int | None = info.get("size")
    if size is None:
        raise SourceUnreadable(
            "its server does not say how large the file is: what is cut off could not be told from what is whole",
            todo="Let it send Content-Length (and no Content-Encoding), or fetch the file first.",
        )
    etag = next((str(info[key]) for key in _ETAG_KEYS if info.get(key)), None)
    return FileState(size, _modified_ns(store, path, info), etag)


def _modified_ns(store: Any, path: str, info: Mapping[str, Any]) -> int | None:
    modified = next((info[key] for key in _TIME_KEYS if info.get(key)), None)
    if modified is None:
        try:
            modified = store.modified(path)
        except NotImplementedError:
            return None
    moment = _as_datetime(modified)
    return None if moment is None else round(moment.timestamp() * 1e6) * 1000


def _as_datetime(modified: Any) -> datetime | None:
    try:
        if isinstance(modified, int | float):
            return datetime.fromtimestamp(modified, UTC)
        moment = modified if isinstance(modified, datetime) else _parse_time(str(modified))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
