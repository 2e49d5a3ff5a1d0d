"""Reads files of buckets and web servers through fsspec, with credentials from the worker's environment.

The key of a file, which pins and messages show, has no secret in it. What a retry may mend (no answer, a connection
cut, a failing server) is an IngestError, so that the activation stays open and resumes; the rest refuses the source.
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
from ingest_project.extract.input_file import FileState
from ingest_project.extract.remote_state import remote_state
from ingest_project.extract.web import WEB_SCHEMES, translate_web_error, web_options

# Scheme to the package that fsspec needs for it. No other is allowed: `local` would get around INGEST_ROOTS.
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
class RemoteFile:
    """A file that fsspec reaches. `path` may hold a secret, `key` must not."""

    store: Any
    path: str
    key: str
    name: str

    def state(self) -> FileState:
        """Ask the store, not what fsspec remembers of it."""
        with _errors_translated(self.store, self.key):
            self.store.invalidate_cache()
            return remote_state(self.store, self.path)

    def open(self) -> BinaryIO:
        """Open it as one stream; from a web server that is one answer, so one state of the file."""
        options = {"block_size": 0} if _is_web(self.store) else {}
        return self._open(**options)

    def random_access(self) -> BinaryIO:
        """Open it as a file that seeks, by ranges."""
        return self._open()

    def digest(self) -> None:
        """None: it would be downloaded a second time. Size, time and ETag tell whether it is the same."""

    def _open(self, **options: int) -> BinaryIO:
        size = self.state().size
        with _errors_translated(self.store, self.key):
            handle = self.store.open(self.path, "rb", **options)
        return cast(BinaryIO, _RemoteStream(self.store, handle, self.key, size))


class _RemoteStream(io.RawIOBase):
    """Gives as many bytes as asked for but at the end, and fails where that comes too early."""

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
        missing = self._size - self.tell() if size < 0 else min(size, self._size - self.tell())
        chunks: list[bytes] = []
        while missing > 0:
            with _errors_translated(self._store, self._key):
                chunk: bytes = self._handle.read(missing)
            if not chunk:
                raise _unreachable(self._key, f"it ends at byte {self.tell():,} of {self._size:,}")
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)

    def close(self) -> None:
        if not self.closed:
            self._handle.close()
        super().close()


def remote_files(location: str, url: str, is_data: Callable[[str], bool]) -> list[RemoteFile]:
    """Find the files at a URL: one, those of a pattern, or those of a folder that `is_data` takes by their names.

    `location` is the URL with its ${VARIABLES} still in it: it names a web server's file without secrets. Raises the
    Refused errors.
    """
    store = _store(urlsplit(url).scheme.lower())
    try:
        return [_web_file(store, location, url)] if _is_web(store) else _bucket_files(store, location, url, is_data)
    except FileNotFoundError:
        raise SourceMissing(f"there is nothing at {location}") from None


def _web_file(store: Any, location: str, url: str) -> RemoteFile:
    file = RemoteFile(store, url, location, _base_name(unquote(urlsplit(url).path)))
    file.state()  # raises where there is none
    return file


def _bucket_files(store: Any, location: str, url: str, is_data: Callable[[str], bool]) -> list[RemoteFile]:
    if "@" in urlsplit(url).netloc:
        raise SourceUnreadable(
            "the credentials of a bucket have no place in its location",
            todo="Leave them to the environment, in the variables that its own tools read, such as AWS_ACCESS_KEY_ID.",
        )
    with _errors_translated(store, location):
        paths = _list_paths(store, store._strip_protocol(url), is_data)
    keys = {store.unstrip_protocol(path): path for path in paths}
    return [RemoteFile(store, path, key, _base_name(path)) for key, path in sorted(keys.items())]


def _list_paths(store: Any, path: str, is_data: Callable[[str], bool]) -> list[str]:
    store.invalidate_cache()
    kind = _kind(store, path)
    if kind == "file":
        return [path]
    if kind == "directory":
        files = [info["name"] for info in store.ls(path, detail=True) if info["type"] == "file"]
        paths = [file for file in files if not _base_name(file).startswith(".") and is_data(_base_name(file))]
    elif glob.has_magic(path):
        paths = [name for name, info in store.glob(path, detail=True).items() if info["type"] == "file"]
    else:
        paths = []
    if not paths:
        raise FileNotFoundError
    return paths


def _kind(store: Any, path: str) -> str | None:
    # Not isfile() and isdir(): they take any error of the server for a file that is not there.
    try:
        return store.info(path)["type"]
    except FileNotFoundError:
        return None


def _base_name(path: str) -> str:
    return PurePosixPath(path).name


@cache
def _store(scheme: str) -> Any:
    try:
        options = web_options() if scheme in WEB_SCHEMES else {}
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
    # Each store raises errors of its own library; their messages may hold the URL, with what is secret in it.
    try:
        yield
    except IngestError:
        raise
    except Exception as error:
        translated = translate_web_error(error) if _is_web(store) else _translate_error(error)
        raise _unreachable(key, translated) if isinstance(translated, str) else translated from None


def _translate_error(error: Exception) -> OSError | str:
    # As words where a retry may mend it.
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
