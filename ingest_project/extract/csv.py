"""CSV: every value is text as it stands. `NA` is Namibia, `007` is not 7, and a blank is a blank."""

# pyright: reportAttributeAccessIssue=false
# Arrow makes its kernels at import, where pyright does not see them.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.compression import is_compressed
from ingest_project.extract.files import Chunk, Head
from ingest_project.extract.input_file import InputFile
from ingest_project.extract.malformed import append_malformed, insert_malformed
from ingest_project.extract.source import Pin
from ingest_project.extract.stray_quotes import RequotedFile
from ingest_project.extract.text import TextFiles
from ingest_project.extract.unclosed_quotes import as_line, swallowing_rows
from ingest_project.extract.utf8 import Utf8File

_BLOCK = 2 << 20  # also the longest row that is read; Arrow holds up to 32 blocks that it has read ahead
_HEAD_BYTES = 64 << 10


@dataclass
class _InvalidRows:
    """Rows with the wrong number of columns: row number among the file's rows, from 0, and text."""

    rows: list[tuple[int, str]]
    skipped: int  # lines before the header

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        self.rows.append((row.number - 2 - self.skipped, row.text))  # to Arrow, the line after those is number 1
        return "skip"

    def has_last(self, number: int) -> bool:
        return bool(self.rows) and self.rows[-1][0] == number

    def take(self, rows_before: int, good: int) -> list[tuple[int, str]]:
        """Take the rows before and among `good` rows that come after `rows_before`: Arrow parses ahead."""
        count = 0
        for at, (number, _) in enumerate(self.rows):
            if number - rows_before - at > good:
                break
            count = at + 1
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken


@dataclass(frozen=True)
class CsvFiles(TextFiles):
    """Separated as the branch declares, with a header; empty lines are skipped.

    Quoted as in RFC 4180, but a quote inside a quoted value need not be doubled (`stray_quotes`); or not quoted at all.
    A row of another width than the header is a row of nulls with its text in `__malformed`, in its place; so is one
    that seems to have swallowed others (`unclosed_quotes`), or repeats the header. A row may be 2 MB long.
    """

    format = "csv"
    header_lines = 1

    def head(self, file: InputFile) -> Head:
        """Read the header, and look for a row below it. Raises SourceUnreadable."""
        head = self._written_head(file)
        return Head(_name_blank_columns(head.columns), head.has_rows)

    def _written_head(self, file: InputFile) -> Head:
        try:
            return self._read_head(file, _HEAD_BYTES)
        except SourceUnreadable:
            return self._read_head(file, _BLOCK)  # a long header, or long rows

    def first_lines(self, file: InputFile | None = None) -> list[str]:
        """Give the first lines of a file, or of the first one, as they stand."""
        with self.open_utf8(file or self.inputs[0]) as handle:
            text = handle.read(_HEAD_BYTES).decode(errors="ignore")
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return lines if len(text) < _HEAD_BYTES // 4 else lines[:-1]

    def _read_options(self, file: InputFile, block: int, header: tuple[str, ...] = ()) -> arrow_csv.ReadOptions:
        options = arrow_csv.ReadOptions(use_threads=False, block_size=block, skip_rows=self.spec.skip_lines)
        if (names := _name_blank_columns(header)) != header:
            options.column_names, options.skip_rows_after_names = list(names), 1
            # Arrow takes a blank line for the header that it is told to skip.
            lines = self.first_lines(file)[self.spec.skip_lines :]
            options.skip_rows += next((at for at, line in enumerate(lines) if line.strip()), len(lines))
        return options

    def _read_head(self, file: InputFile, block: int) -> Head:
        invalid = _InvalidRows([], self.spec.skip_lines)
        options = self._read_options(file, block)
        with self.open_utf8(file, end_line=True) as handle, self._reader(handle, options, invalid, ()) as reader:
            first = next(iter(reader), None)
            return Head(tuple(reader.schema.names), first is not None or bool(invalid.rows))

    def chunks(self, number: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's blocks as tables, malformed rows in their places."""
        file = self.input_file(pin.files[number])
        head = self._written_head(file)
        if not head.has_rows:
            return
        positions = [_name_blank_columns(head.columns).index(name) for name in pin.columns]
        rows = counted = 0
        # A small file needs no more memory than itself.
        block = _BLOCK if is_compressed(file.name) else min(_BLOCK, pin.files[number].size + 1)
        options = self._read_options(file, block, head.columns)
        with self.open_utf8(file) as handle:
            for table in self._tables(handle, options, pin, positions):
                rows += table.num_rows
                if rows > skip:
                    bytes_read = handle.bytes_read  # asked once: Arrow reads ahead meanwhile
                    yield Chunk(table.slice(max(0, table.num_rows - (rows - skip))), bytes_read - counted)
                    counted = bytes_read

    def _tables(
        self, handle: Utf8File, options: arrow_csv.ReadOptions, pin: Pin, positions: list[int]
    ) -> Iterator[pa.Table]:
        invalid = _InvalidRows([], options.skip_rows)
        rows = 0
        file = RequotedFile(handle, self.spec.delimiter, len(pin.columns)) if self.spec.quoted else handle
        with self._reader(file, options, invalid, pin.columns) as reader:
            for batch, is_last in _mark_last(iter(reader)):
                # The last row of all may be one that a quote, never closed, made of all that follow it.
                last_row = rows + batch.num_rows + len(invalid.rows) - 1
                is_unclosed = is_last and not invalid.has_last(last_row) and not handle.ends_in_quote
                good = self._set_aside(pa.Table.from_batches([batch]), positions, is_unclosed=is_unclosed)
                table = insert_malformed(good, invalid.take(rows, good.num_rows), rows)
                rows += table.num_rows
                yield table
            if invalid.rows:
                yield insert_malformed(append_malformed(reader.schema.empty_table()), invalid.rows, rows)

    def _reader(
        self,
        file: Utf8File | RequotedFile,
        options: arrow_csv.ReadOptions,
        on_invalid: Callable[[arrow_csv.InvalidRow], str],
        columns: tuple[str, ...],
    ) -> arrow_csv.CSVStreamingReader:
        # No columns: those of the file.
        return arrow_csv.open_csv(
            file,
            read_options=options,
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.spec.delimiter,
                quote_char='"' if self.spec.quoted else False,
                newlines_in_values=self.spec.quoted,
                invalid_row_handler=on_invalid,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                null_values=[],
                strings_can_be_null=False,
                check_utf8=False,  # Utf8File did
            ),
        )

    def _set_aside(self, table: pa.Table, positions: list[int], *, is_unclosed: bool) -> pa.Table:
        """Make rows that swallowed others, and repeated headers, malformed."""
        delimiter = self.spec.delimiter
        texts = swallowing_rows(table, positions, delimiter, is_unclosed=is_unclosed)
        texts |= {row: as_line(table, row, positions, delimiter) for row in _repeated_headers(table, positions)}
        good = append_malformed(table)
        if not texts:
            return good
        is_good = np.ones(table.num_rows, dtype=bool)
        is_good[list(texts)] = False
        return insert_malformed(good.filter(pa.array(is_good)), sorted(texts.items()), 0)

    def refusal(self, file: InputFile, error: Exception) -> SourceUnreadable:
        """Say what Arrow means."""
        if "infer number of columns" in str(error):
            return self.unreadable(file, f"there is no header line in its first {_BLOCK >> 20} MB")
        if "straddling" in str(error):
            what = f"a row is longer than {_BLOCK >> 20} MB, mostly for a quote that is never closed"
            return self.unreadable(file, what)
        return self.unreadable(file, error)


def _name_blank_columns(header: tuple[str, ...]) -> tuple[str, ...]:
    """Name columns without a name by their place, where there are several, as beside a spreadsheet's table."""
    blank = [at for at, name in enumerate(header) if not name.strip()]
    return tuple(f"column {at + 1}" if at in blank and len(blank) > 1 else name for at, name in enumerate(header))


def _repeated_headers(table: pa.Table, positions: Sequence[int]) -> list[int]:
    """Find the rows that are the header again, perhaps behind a BOM: where files were joined to one."""
    names = list(table.column_names)
    if len(names) == 1:
        return []  # its name may be a value
    first = names[positions.index(min(positions))]
    is_like_header = pc.is_in(table[first], value_set=pa.array([first, f"\ufeff{first}"]))
    others = [name for name in names if name != first]
    rows = np.flatnonzero(is_like_header.to_numpy()).tolist()
    return [row for row in rows if all(table[name][row].as_py() == name for name in others)]


def _mark_last(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Yield (batch, whether it is the last)."""
    batch = next(batches, None)
    while batch is not None:
        following = next(batches, None)
        yield batch, following is None
        batch = following
