"""Files elsewhere: buckets and web servers, through fsspec. Credentials come from the worker's environment.

A key that a pin and every message shows has no secret in it. What a retry may mend (no answer, a connection cut, a
server that is ill) is an IngestError, so that the activation stays open and resumes; the rest refuses the source.
"""

import errno
import glob
import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import fsspec

from ingest_project.errors import IngestError, SourceMissing, SourceUnreadable, first_line
from ingest_project.extract.facts import facts_of
from ingest_project.extract.place import Facts
from ingest_project.extract.web import WEB, explained, web_options

# Scheme to the package that fsspec needs for it. No other scheme: `local` would walk around INGEST_ROOTS.
SCHEMES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "memory": "fsspec",
}


@dataclass(frozen=True)
class RemotePlace:
    """A file that fsspec reaches. `path` may hold a secret, `key` must not."""

    store: Any
    path: str
    key: str
    name: str

    def look(self) -> Facts:
        """Ask the store, not what fsspec remembers of it."""
        with _errors_translated(self.store, self.key):
            self.store.invalidate_cache()
            return facts_of(self.store, self.path)

    def open(self) -> BinaryIO:
        """Open it as one stream; from a web server that is one answer, so one state of the file."""
        whole = {"block_size": 0} if _is_web(self.store) else {}
        return self._opened(**whole)

    def for_arrow(self) -> BinaryIO:
        """Open it for reading here and there."""
        return self._opened()

    def digest(self) -> None:
        """None: it would be downloaded a second time. Size, time and ETag tell whether it is the same."""

    def _opened(self, **options: int) -> BinaryIO:
        size = self.look().size
        with _errors_translated(self.store, self.key):
            handle = self.store.open(self.path, "rb", **options)
        return cast(BinaryIO, _RemoteFile(self.store, handle, self.key, size))


class _RemoteFile(io.RawIOBase):
    """Gives as many bytes as asked for but at the end, and knows where that must be."""

    def __init__(self, store: Any, handle: Any, key: str, size: int) -> None:
        super().__init__()
        self._store = store
        self._handle = handle
        self._key = key
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._handle.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with _errors_translated(self._store, self._key):
            return self._handle.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        """Raises IngestError where the file ends too early."""
        wanted = self._size - self.tell() if size < 0 else min(size, self._size - self.tell())
        parts: list[bytes] = []
        while wanted > 0:
            with _errors_translated(self._store, self._key):
                part: bytes = self._handle.read(wanted)
            if not part:
                raise _unreachable(self._key, f"it ends at byte {self.tell():,} of {self._size:,}")
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            self._handle.close()
        super().close()


def remote_places(location: str, url: str, wanted: Callable[[str], bool]) -> list[RemotePlace]:
    """Find the files at a URL: one, those of a pattern, or the wanted ones of a folder. Raises the Refused errors.

    `location` is the URL with its ${VARIABLES} still in it: what a web page's secrets stay behind.
    """
    store = _store(urlsplit(url).scheme.lower())
    try:
        return _web_place(store, location, url) if _is_web(store) else _stored(store, location, url, wanted)
    except FileNotFoundError:
        raise SourceMissing(f"there is nothing at {location}") from None


def _web_place(store: Any, location: str, url: str) -> list[RemotePlace]:
    place = RemotePlace(store, url, location, PurePosixPath(unquote(urlsplit(url).path)).name)
    place.look()
    return [place]


def _stored(store: Any, location: str, url: str, wanted: Callable[[str], bool]) -> list[RemotePlace]:
    if "@" in urlsplit(url).netloc:
        raise SourceUnreadable(
            "the credentials of a bucket have no place in its location",
            todo="Leave them to the environment, in the variables that its own tools read, such as AWS_ACCESS_KEY_ID.",
        )
    with _errors_translated(store, location):
        paths = _listed(store, store._strip_protocol(url), wanted)
    keys = {store.unstrip_protocol(path): path for path in paths}
    return [RemotePlace(store, path, key, PurePosixPath(path).name) for key, path in sorted(keys.items())]


def _listed(store: Any, path: str, wanted: Callable[[str], bool]) -> list[str]:
    store.invalidate_cache()
    kind = _kind(store, path)
    if kind == "file":
        return [path]
    if kind == "directory":
        inside = [facts["name"] for facts in store.ls(path, detail=True) if facts["type"] == "file"]
        found = [name for name in inside if _is_visible(name) and wanted(PurePosixPath(name).name)]
    elif glob.has_magic(path):
        found = [name for name, facts in store.glob(path, detail=True).items() if facts["type"] == "file"]
    else:
        found = []
    if not found:
        raise FileNotFoundError
    return found


def _kind(store: Any, path: str) -> str | None:
    # Not isfile() and isdir(): to them a server that is ill is one that has no such file.
    try:
        return store.info(path)["type"]
    except FileNotFoundError:
        return None


def _is_visible(path: str) -> bool:
    return not PurePosixPath(path).name.startswith(".")


@cache
def _store(scheme: str) -> Any:
    try:
        options = web_options() if scheme in WEB else {}
        return fsspec.filesystem(scheme, **options, skip_instance_cache=True)
    except ImportError:
        raise SourceUnreadable(
            f"locations with {scheme}:// need the package {SCHEMES[scheme]}, which is not installed",
            todo=f"Run `pip install {SCHEMES[scheme]}` where the ingest runs, then the same command again.",
        ) from None


def _is_web(store: Any) -> bool:
    return "http" in store.protocol


@contextmanager
def _errors_translated(store: Any, key: str) -> Generator[None]:
    # Each store raises errors of its own library; their words may hold the URL, with what is secret in it.
    try:
        yield
    except IngestError:
        raise
    except Exception as error:
        told = explained(error) if _is_web(store) else _explained(error)
        raise _unreachable(key, told) if isinstance(told, str) else told from None


def _explained(error: Exception) -> OSError | str:
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "nothing is there")
    if isinstance(error, PermissionError) or type(error).__name__ == "FileExpired":
        why = getattr(error, "strerror", None) or "it is another file by now"
        return OSError(errno.EACCES, why)
    return first_line(error)


def _unreachable(key: str, why: str) -> IngestError:
    return IngestError(
        f"the source cannot be reached: {why}",
        where={"file": key},
        todo="Check the network and the credentials in the environment; the same command resumes.",
    )
