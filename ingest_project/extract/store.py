"""The store of parts: Parquet files in a folder, or in whatever fsspec reaches, each written once."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from ingest_project import failpoints
from ingest_project.errors import IngestError, PartDamaged

# After a part of this size memory is given back to the system: glibc would keep some four times as much for later.
_HEAVY_BYTES = 24 << 20


@dataclass(frozen=True)
class StoredPart:
    """A file in the store, not yet a part: it becomes one when the manifest lists it.

    `path` is relative to the store; `bytes` and `digest` (sha256, hex) are those of the file.
    """

    path: str
    rows: int
    bytes: int
    digest: str


class PartStore:
    """Parts under one location. Paths are relative to it, so that a store can move."""

    def __init__(self, location: str) -> None:
        self._root = UPath(location)

    def put(self, key: str, table: pa.Table) -> StoredPart:
        """Write a table under `key`, durably, as a whole or not at all. Raises IngestError."""
        data = _as_parquet(table)
        path = f"{key}.parquet"
        try:
            if self._is_local:
                _write_durably(Path(self.local_path(path)), data)
            else:
                (self._root / path).write_bytes(data.to_pybytes())
        except OSError as error:
            raise self._not_stored(path, error) from error
        failpoints.reach("part_stored")
        if table.nbytes > _HEAVY_BYTES:
            pa.default_memory_pool().release_unused()
        return StoredPart(path, table.num_rows, data.size, hashlib.sha256(data).hexdigest())

    def copy(self, path: str, digest: str, rows: int, key: str) -> StoredPart:
        """Store a part a second time under `key`; local ones share their bytes. Raises PartDamaged."""
        data = self._read(path, digest)
        target = f"{key}.parquet"
        try:
            if self._is_local:
                _link_durably(Path(self.local_path(path)), Path(self.local_path(target)), data)
            else:
                (self._root / target).write_bytes(data)
        except OSError as error:
            raise self._not_stored(target, error) from error
        failpoints.reach("part_stored")
        return StoredPart(target, rows, len(data), digest)

    def get(self, path: str, digest: str | None = None, *, columns: list[str] | None = None) -> pa.Table:
        """Read a part, or some columns of it. Raises PartDamaged where it is not what was written."""
        data = self._read(path, digest)
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
        except (pa.ArrowException, OSError) as error:
            where = {"store": self._root, "part": path}
            raise PartDamaged(f"a part cannot be read: {error}", where=where) from None

    def has(self, path: str) -> bool:
        """Whether a part is there, whole or not."""
        return (self._root / path).exists()

    def local_path(self, path: str) -> str:
        """The path of a part as a local file, for readers that take no other (DuckDB). Raises IngestError."""
        if not self._is_local:
            raise IngestError(
                "this version reads parts from a local store only", where={"store": self._root, "part": path}
            )
        return str(Path(self._root.path) / path)

    def activations(self) -> dict[int, int]:
        """Every activation that has parts in the store (`<branch_id>/<activation_id>/…`), and their bytes."""
        try:
            folders = [
                folder for branch in self._root.iterdir() if branch.name.isdigit() for folder in branch.iterdir()
            ]
        except FileNotFoundError:
            return {}
        return {int(folder.name): _size(folder) for folder in folders if folder.name.isdigit()}

    def drop(self, branch_id: int, activation_id: int) -> None:
        """Delete all parts of an activation, if there are any. Raises IngestError."""
        folder = self._root / str(branch_id) / str(activation_id)
        try:
            folder.fs.rm(folder.path, recursive=True)
        except FileNotFoundError:
            return
        except OSError as error:
            where = {"store": self._root, "activation": activation_id}
            raise IngestError(f"its parts could not be deleted: {error.strerror or error}", where=where) from error

    def _read(self, path: str, digest: str | None) -> bytes:
        where = {"store": self._root, "part": path}
        try:
            data = (self._root / path).read_bytes()
        except OSError as error:
            raise PartDamaged(f"a part cannot be read: {error.strerror or error}", where=where) from None
        if digest is not None and (actual := hashlib.sha256(data).hexdigest()) != digest:
            what = f"a part is not what was written: its sha256 is {actual[:12]}…, not {digest[:12]}…"
            raise PartDamaged(what, where=where)
        return data

    def _not_stored(self, path: str, error: OSError) -> IngestError:
        return IngestError(
            f"a part could not be stored: {error.strerror or error}",
            where={"store": self._root, "part": path},
            todo="Make room or mend its rights (INGEST_STORE), then run the same command: it resumes.",
        )

    @property
    def _is_local(self) -> bool:
        return self._root.protocol in ("", "file", "local")


def _size(folder: UPath) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _as_parquet(table: pa.Table) -> pa.Buffer:
    buffer = pa.BufferOutputStream()
    # zstd finds what repeats by itself: with dictionaries parts are larger, and slower to write and to read.
    pq.write_table(table, buffer, compression="zstd", compression_level=1, use_dictionary=False)
    return buffer.getvalue()


def _write_durably(target: Path, data: pa.Buffer) -> None:
    _make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        failpoints.reach("part_written_not_renamed")
        temporary.rename(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _link_durably(source: Path, target: Path, data: bytes) -> None:
    """Link a file, which nobody writes to again; copy it where the file system has no hard links."""
    _make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        temporary.hardlink_to(source)
    except OSError:
        _write_durably(target, pa.py_buffer(data))
        return
    temporary.rename(target)
    temporary.unlink(missing_ok=True)  # a rename between two names of one file does nothing
    _sync_folder(target.parent)


def _make_folder(folder: Path) -> None:
    # A new folder is durable only when the one that names it is.
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
