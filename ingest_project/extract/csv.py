"""CSV: every value is text as it stands. `NA` is Namibia, `007` is not 7, and a blank is a blank."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc_csv

from ingest_project.extract.files import LocalFiles
from ingest_project.extract.source import MALFORMED

_BLOCK = 8 << 20
_SAMPLE = 1 << 20
_LONGEST_FIELD = 64 << 20


@dataclass(frozen=True)
class CsvFiles(LocalFiles):
    """Comma-separated, UTF-8, with a header, quoted as in RFC 4180."""

    format = "csv"

    def columns_of(self, path: Path) -> list[str]:
        header = next(self._rows(path), None)
        if not header or not any(header):
            raise self.unreadable(path, "there is no header line")
        return header

    def has_rows(self, path: Path) -> bool:
        rows = self._rows(path)
        next(rows, None)
        return any(row for row in rows)

    def _rows(self, path: Path) -> Iterator[list[str]]:
        csv.field_size_limit(_LONGEST_FIELD)
        try:
            with path.open(newline="", encoding="utf-8-sig") as handle:
                yield from csv.reader(handle)
        except UnicodeDecodeError as error:
            raise self.unreadable(path, f"it is not UTF-8 at byte {error.start:,}") from None
        except (csv.Error, OSError) as error:
            raise self.unreadable(path, error) from None

    def estimate(self) -> int | None:
        size = sum(path.stat().st_size for path in self.paths)
        with self.paths[0].open("rb") as handle:
            sample = handle.read(_SAMPLE)
        lines = sample.count(b"\n")
        return round(size * lines / len(sample)) if lines else None

    def tables(self, path: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        malformed: list[str] = []

        def set_aside(row: pc_csv.InvalidRow) -> str:
            malformed.append(row.text)
            return "skip"

        try:
            with self._reader(path, columns, set_aside) as reader:
                # A block is parsed one ahead, so its malformed lines may come with the block before it: still in
                # the same place each time the file is read, which is what resuming needs.
                for batch in reader:
                    yield _with_malformed(pa.Table.from_batches([batch]), malformed, columns)
                if malformed:
                    yield _with_malformed(reader.schema.empty_table(), malformed, columns)
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
            raise self.unreadable(path, error) from None

    def _reader(
        self, path: Path, columns: tuple[str, ...], set_aside: "pc_csv.InvalidRow"
    ) -> pc_csv.CSVStreamingReader:
        return pc_csv.open_csv(
            path,
            read_options=pc_csv.ReadOptions(use_threads=False, block_size=self._block_size(path)),
            parse_options=pc_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
            convert_options=pc_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                null_values=[],
                strings_can_be_null=False,
            ),
        )

    def _block_size(self, path: Path) -> int:
        # A record must fit into a block; small files need no more than themselves.
        return min(_BLOCK, max(path.stat().st_size, 1) + 1)


def _with_malformed(table: pa.Table, malformed: list[str], columns: tuple[str, ...]) -> pa.Table:
    good = table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string()))
    if not malformed:
        return good
    blank = {name: pa.nulls(len(malformed), pa.string()) for name in columns}
    bad = pa.table({**blank, MALFORMED: pa.array(malformed, pa.string())})
    malformed.clear()
    return pa.concat_tables([good, bad])
