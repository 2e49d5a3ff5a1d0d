"""CSV: every value is text as it stands. `NA` is Namibia, `007` is not 7, and a blank is a blank."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.files import Chunk, Head, LocalFiles
from ingest_project.extract.quotes import swallowing_rows
from ingest_project.extract.source import MALFORMED, Pin
from ingest_project.extract.utf8 import Utf8File

_BLOCK = 2 << 20  # also the longest row that is read; Arrow holds up to 32 blocks that it has read ahead
_FIRST_LOOK = 64 << 10
_SAMPLE = 1 << 20


@dataclass
class _Malformed:
    """Rows with the wrong number of columns: place among the file's rows, from 0, and text."""

    rows: list[tuple[int, str]]

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        self.rows.append((row.number - 2, row.text))  # the header is number 1
        return "skip"

    def stands_at(self, place: int) -> bool:
        return bool(self.rows) and self.rows[-1][0] == place

    def take(self, base: int, good: int) -> list[tuple[int, str]]:
        # Arrow parses ahead: only those that stand before or among `good` rows that come after `base` rows.
        count = 0
        for at, (place, _) in enumerate(self.rows):
            if place - base - at > good:
                break
            count = at + 1
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken


@dataclass(frozen=True)
class CsvFiles(LocalFiles):
    """Comma-separated, UTF-8, with a header, quoted as in RFC 4180; empty lines are skipped.

    A row of another width than the header is a row of nulls with its text in `__malformed`, in its place;
    so is one that seems to have swallowed others (`quotes`). A row may be 2 MB long.
    """

    format = "csv"

    def head(self, path: Path) -> Head:
        """Look at the header and for a row below it. Raises SourceUnreadable."""
        try:
            return self._head(path, _FIRST_LOOK)
        except SourceUnreadable:
            return self._head(path, _BLOCK)  # a long header, or long rows

    def _head(self, path: Path, block: int) -> Head:
        malformed = _Malformed([])
        options = arrow_csv.ReadOptions(use_threads=False, block_size=block)
        with self._utf8(path, end_line=True) as file, _reader(file, options, malformed, ()) as reader:
            first = next(iter(reader), None)
            return Head(tuple(reader.schema.names), first is not None or bool(malformed.rows))

    def estimate(self) -> int | None:
        """Count lines in the first megabyte of the first file, and go by size."""
        size = sum(path.stat().st_size for path in self.paths)
        with self.paths[0].open("rb") as handle:
            sample = handle.read(_SAMPLE)
        lines = sample.rstrip().count(b"\n")  # the header's own line makes up for the last one's missing break
        return max(1, round(size * lines / len(sample)))

    def chunks(self, file: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's blocks as tables, malformed rows in their places."""
        path = Path(pin.files[file].path)
        head = self.head(path)
        if not head.has_rows:
            return
        positions = [head.columns.index(name) for name in pin.columns]
        base = counted = 0
        with self._utf8(path) as handle:
            for table in self._tables(handle, path, pin, positions):
                base += table.num_rows
                if base > skip:
                    yield Chunk(table.slice(max(0, table.num_rows - (base - skip))), handle.taken - counted)
                    counted = handle.taken

    def _tables(self, handle: Utf8File, path: Path, pin: Pin, positions: list[int]) -> Iterator[pa.Table]:
        malformed = _Malformed([])
        # A small file needs no more memory than itself.
        block = min(_BLOCK, path.stat().st_size + 1)
        options = arrow_csv.ReadOptions(use_threads=False, block_size=block)
        base = 0
        with _reader(handle, options, malformed, pin.columns) as reader:
            for batch, is_last in _marking_last(iter(reader)):
                # The last row of all may be one that a quote, never closed, made of all that follow it.
                ends = is_last and not malformed.stands_at(base + batch.num_rows + len(malformed.rows) - 1)
                unclosed = ends and not handle.ends_in_quote
                good = _good(pa.Table.from_batches([batch]), positions, unclosed=unclosed)
                table = _in_place(good, malformed.take(base, good.num_rows), base)
                base += table.num_rows
                yield table
            if malformed.rows:
                yield _in_place(_good(reader.schema.empty_table(), positions, unclosed=False), malformed.rows, base)

    @contextmanager
    def _utf8(self, path: Path, *, end_line: bool = False) -> Generator[Utf8File]:
        try:
            with path.open("rb") as handle:
                yield Utf8File(handle, end_line=end_line)
        except SourceUnreadable as error:
            error.where = {**self.place(path), **error.where}
            raise
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
            raise self._refusal(path, error) from None

    def _refusal(self, path: Path, error: Exception) -> SourceUnreadable:
        if "infer number of columns" in str(error):
            return self.unreadable(path, f"there is no header line in its first {_BLOCK >> 20} MB")
        if "straddling" in str(error):
            return self.unreadable(
                path, f"a row is longer than {_BLOCK >> 20} MB, mostly for a quote that is never closed"
            )
        return self.unreadable(path, error)


def _reader(
    file: Utf8File,
    options: arrow_csv.ReadOptions,
    malformed: Callable[[arrow_csv.InvalidRow], str],
    columns: tuple[str, ...],
) -> arrow_csv.CSVStreamingReader:
    # No columns: those of the file.
    return arrow_csv.open_csv(
        file,
        read_options=options,
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=malformed),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=list(columns),
            null_values=[],
            strings_can_be_null=False,
            check_utf8=False,  # Utf8File did
        ),
    )


def _marking_last(reader: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    held = next(reader, None)
    while held is not None:
        following = next(reader, None)
        yield held, following is None
        held = following


def _good(table: pa.Table, positions: list[int], *, unclosed: bool) -> pa.Table:
    good = table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string()))
    swallowing = swallowing_rows(table, positions, unclosed=unclosed)
    if not swallowing:
        return good
    rows = list(swallowing)
    indices = np.arange(table.num_rows)
    indices[rows] = table.num_rows + np.arange(len(rows))
    return pa.concat_tables([good, _blank(good.schema, list(swallowing.values()))]).take(pa.array(indices))


def _in_place(good: pa.Table, malformed: list[tuple[int, str]], base: int) -> pa.Table:
    if not malformed:
        return good
    total = good.num_rows + len(malformed)
    is_bad = np.zeros(total, dtype=bool)
    is_bad[[place - base for place, _ in malformed]] = True
    indices = np.empty(total, dtype=np.int64)
    indices[is_bad] = good.num_rows + np.arange(len(malformed))
    indices[~is_bad] = np.arange(good.num_rows)
    bad = _blank(good.schema, [text for _, text in malformed])
    return pa.concat_tables([good, bad]).take(pa.array(indices))


def _blank(schema: pa.Schema, texts: list[str]) -> pa.Table:
    columns = [pa.nulls(len(texts), pa.string()) for _ in schema.names[:-1]]
    return pa.table([*columns, pa.array(texts, pa.string())], schema=schema)
