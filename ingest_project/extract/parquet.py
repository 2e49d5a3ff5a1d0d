"""Parquet: types as they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_project.extract.files import LocalFiles
from ingest_project.extract.source import MALFORMED

_ROWS = 16_384


@dataclass(frozen=True)
class ParquetFiles(LocalFiles):
    """Parquet files with the same columns."""

    format = "parquet"

    def columns_of(self, path: Path) -> list[str]:
        return self._open(path).schema_arrow.names

    def has_rows(self, path: Path) -> bool:
        return self._open(path).metadata.num_rows > 0

    def estimate(self) -> int | None:
        return sum(self._open(path).metadata.num_rows for path in self.paths)

    def tables(self, path: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        try:
            with self._open(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS, columns=list(columns)):
                    table = pa.Table.from_batches([batch]).select(list(columns))
                    yield table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string()))
        except (pa.ArrowException, OSError) as error:
            raise self.unreadable(path, error) from None

    def _open(self, path: Path) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise self.unreadable(path, error) from None
