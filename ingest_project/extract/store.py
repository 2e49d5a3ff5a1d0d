"""Where parts are kept: Parquet files in a folder, or in whatever fsspec reaches, each written once."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from ingest_project import failpoints
from ingest_project.errors import PartDamaged


@dataclass(frozen=True)
class StoredPart:
    """A file in the store, not yet a part: it becomes one when the manifest lists it."""

    path: str
    rows: int
    bytes: int
    digest: str


class PartStore:
    """Parts under one location. Paths are relative to it, so that a store can move."""

    def __init__(self, location: str) -> None:
        self._root = UPath(location)

    def put(self, key: str, table: pa.Table) -> StoredPart:
        """Write a table under `key`, durably, as a whole or not at all."""
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd", compression_level=1)
        data = buffer.getvalue()
        path = f"{key}.parquet"
        target = self._root / path
        if self._is_local:
            _write_durably(Path(str(target)), data)
        else:
            target.write_bytes(data.to_pybytes())
        failpoints.reach("part_stored")
        return StoredPart(path, table.num_rows, data.size, hashlib.sha256(data).hexdigest())

    def get(self, path: str, digest: str | None = None, *, columns: list[str] | None = None) -> pa.Table:
        """The table of a part, or some columns of it. Raises PartDamaged where it is not what was written."""
        try:
            data = (self._root / path).read_bytes()
        except OSError as error:
            raise PartDamaged(f"a part is not in the store: {error.strerror}", where={"part": path}) from None
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise PartDamaged("a part is not what was written", where={"part": path})
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
        except pa.ArrowException as error:
            raise PartDamaged(f"a part cannot be read: {error}", where={"part": path}) from None

    def local_path(self, path: str) -> str:
        """The part as a file, for readers that take no other."""
        return str(self._root / path)

    @property
    def _is_local(self) -> bool:
        return self._root.protocol in ("", "file")


def _write_durably(target: Path, data: pa.Buffer) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    with fresh.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    failpoints.reach("part_written_not_renamed")
    fresh.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
