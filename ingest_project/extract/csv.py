"""CSV: every value is text as it stands. `NA` is Namibia, `007` is not 7, and a blank is a blank."""

# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong; its kernels are made at import.

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.compression import is_compressed
from ingest_project.extract.files import Chunk, Head
from ingest_project.extract.place import Place
from ingest_project.extract.source import MALFORMED, Pin
from ingest_project.extract.stray_quotes import Requoted
from ingest_project.extract.text import TextFiles
from ingest_project.extract.unclosed_quotes import as_line, swallowing_rows
from ingest_project.extract.utf8 import Utf8File

_BLOCK = 2 << 20  # also the longest row that is read; Arrow holds up to 32 blocks that it has read ahead
_FIRST_LOOK = 64 << 10
_FEW = 100


@dataclass
class _Malformed:
    """Rows with the wrong number of columns: place among the file's rows, from 0, and text."""

    rows: list[tuple[int, str]]
    skipped: int  # lines before the header

    def __call__(self, row: arrow_csv.InvalidRow) -> str:
        self.rows.append((row.number - 2 - self.skipped, row.text))  # the header is number 1 behind them
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
class CsvFiles(TextFiles):
    """Separated as the branch declares, with a header; empty lines are skipped.

    Quoted as in RFC 4180, but a quote inside a quoted value need not be doubled (`stray_quotes`); or not quoted at all.
    A row of another width than the header is a row of nulls with its text in `__malformed`, in its place;
    so is one that seems to have swallowed others (`quotes`), or is the header again. A row may be 2 MB long.
    """

    format = "csv"
    header_lines = 1

    def head(self, place: Place) -> Head:
        """Look at the header and for a row below it. Raises SourceUnreadable."""
        written = self._head(place)
        return Head(_named(written.columns), written.has_rows)

    def _head(self, place: Place) -> Head:
        try:
            return self._head_within(place, _FIRST_LOOK)
        except SourceUnreadable:
            return self._head_within(place, _BLOCK)  # a long header, or long rows

    def first_lines(self, place: Place | None = None) -> list[str]:
        """Give the first lines of a file, or of the first one, as they stand."""
        with self.utf8(place or self.places[0]) as handle:
            text = handle.read(_FIRST_LOOK).decode(errors="ignore")
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return lines if len(text) < _FIRST_LOOK // 4 else lines[:-1]

    def _options(self, place: Place, block: int, written: tuple[str, ...] = ()) -> arrow_csv.ReadOptions:
        options = arrow_csv.ReadOptions(use_threads=False, block_size=block, skip_rows=self.spec.skip_lines)
        if (names := _named(written)) != written:
            options.column_names, options.skip_rows_after_names = list(names), 1
            # Arrow takes a blank line for the header that it is told to skip.
            lines = self.first_lines(place)[self.spec.skip_lines :]
            options.skip_rows += next((at for at, line in enumerate(lines) if line.strip()), len(lines))
        return options

    def _head_within(self, place: Place, block: int) -> Head:
        malformed = _Malformed([], self.spec.skip_lines)
        options = self._options(place, block)
        with self.utf8(place, end_line=True) as file, self._reader(file, options, malformed, ()) as reader:
            first = next(iter(reader), None)
            return Head(tuple(reader.schema.names), first is not None or bool(malformed.rows))

    def chunks(self, file: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's blocks as tables, malformed rows in their places."""
        place = self.place(pin.files[file])
        head = self._head(place)
        if not head.has_rows:
            return
        positions = [_named(head.columns).index(name) for name in pin.columns]
        base = counted = 0
        # A small file needs no more memory than itself.
        block = _BLOCK if is_compressed(place.name) else min(_BLOCK, pin.files[file].size + 1)
        options = self._options(place, block, head.columns)
        with self.utf8(place) as handle:
            for table in self._tables(handle, options, pin, positions):
                base += table.num_rows
                if base > skip:
                    taken = handle.bytes_read  # once: Arrow reads ahead meanwhile
                    yield Chunk(table.slice(max(0, table.num_rows - (base - skip))), taken - counted)
                    counted = taken

    def _tables(
        self, handle: Utf8File, options: arrow_csv.ReadOptions, pin: Pin, positions: list[int]
    ) -> Iterator[pa.Table]:
        malformed = _Malformed([], options.skip_rows)
        base = 0
        file = Requoted(handle, self.spec.delimiter, len(pin.columns)) if self.spec.quoted else handle
        with self._reader(file, options, malformed, pin.columns) as reader:
            for batch, is_last in _marking_last(iter(reader)):
                # The last row of all may be one that a quote, never closed, made of all that follow it.
                ends = is_last and not malformed.stands_at(base + batch.num_rows + len(malformed.rows) - 1)
                unclosed = ends and not handle.ends_in_quote
                good = self._good(pa.Table.from_batches([batch]), positions, unclosed=unclosed)
                table = in_place(good, malformed.take(base, good.num_rows), base)
                base += table.num_rows
                yield table
            if malformed.rows:
                yield in_place(self._good(reader.schema.empty_table(), positions), malformed.rows, base)

    def _reader(
        self,
        file: Utf8File | Requoted,
        options: arrow_csv.ReadOptions,
        malformed: Callable[[arrow_csv.InvalidRow], str],
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
                invalid_row_handler=malformed,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                null_values=[],
                strings_can_be_null=False,
                check_utf8=False,  # Utf8File did
            ),
        )

    def _good(self, table: pa.Table, positions: list[int], *, unclosed: bool = False) -> pa.Table:
        good = table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string()))
        aside = swallowing_rows(table, positions, self.spec.delimiter, unclosed=unclosed)
        aside |= {row: as_line(table, row, positions, self.spec.delimiter) for row in _headers(table, positions)}
        if not aside:
            return good
        rows = list(aside)
        indices = np.arange(table.num_rows)
        indices[rows] = table.num_rows + np.arange(len(rows))
        return pa.concat_tables([good, _blank(good.schema, list(aside.values()))]).take(pa.array(indices))

    def refusal(self, place: Place, error: Exception) -> SourceUnreadable:
        """Say what Arrow means."""
        if "infer number of columns" in str(error):
            return self.unreadable(place, f"there is no header line in its first {_BLOCK >> 20} MB")
        if "straddling" in str(error):
            return self.unreadable(
                place, f"a row is longer than {_BLOCK >> 20} MB, mostly for a quote that is never closed"
            )
        return self.unreadable(place, error)


def _named(header: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a header, where several are blank (as beside a spreadsheet's table) these by their place."""
    blank = [place for place, name in enumerate(header) if not name.strip()]
    return tuple(
        f"column {place + 1}" if place in blank and len(blank) > 1 else name for place, name in enumerate(header)
    )


def _headers(table: pa.Table, positions: Sequence[int]) -> list[int]:
    """The rows that are the header again, perhaps behind a BOM: where files were joined to one."""
    names = list(table.column_names)
    if len(names) == 1:
        return []  # its name may be a value
    first = names[positions.index(min(positions))]
    like_it = pc.is_in(table[first], value_set=pa.array([first, f"\ufeff{first}"]))
    others = [name for name in names if name != first]
    rows = np.flatnonzero(like_it.to_numpy()).tolist()
    return [row for row in rows if all(table[name][row].as_py() == name for name in others)]


def _marking_last(reader: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    held = next(reader, None)
    while held is not None:
        following = next(reader, None)
        yield held, following is None
        held = following


def in_place(good: pa.Table, malformed: list[tuple[int, str]], base: int) -> pa.Table:
    """Put rows of nulls, with their text in `__malformed`, where they stood; `base` rows come before the table."""
    if not malformed:
        return good
    bad = _blank(good.schema, [text for _, text in malformed])
    places = np.array([place - base for place, _ in malformed])
    if len(places) > _FEW:
        return _all_moved(good, bad, places)
    # The rows between a few are not moved for them.
    starts = [0, *(places - np.arange(len(places)))]
    between = [good.slice(start, end - start) for start, end in pairwise([*starts, good.num_rows])]
    rows = (bad.slice(at, 1) for at in range(len(places)))
    return pa.concat_tables([between[0], *chain.from_iterable(zip(rows, between[1:], strict=True))])


def _all_moved(good: pa.Table, bad: pa.Table, places: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pa.Table:
    total = good.num_rows + bad.num_rows
    is_bad = np.zeros(total, dtype=bool)
    is_bad[places] = True
    indices = np.empty(total, dtype=np.int64)
    indices[is_bad] = good.num_rows + np.arange(bad.num_rows)
    indices[~is_bad] = np.arange(good.num_rows)
    return pa.concat_tables([good, bad]).take(pa.array(indices))


def _blank(schema: pa.Schema, texts: list[str]) -> pa.Table:
    columns = [pa.nulls(len(texts), kind) for kind in schema.types[:-1]]
    return pa.table([*columns, pa.array(texts, pa.string())], schema=schema)
