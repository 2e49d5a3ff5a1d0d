"""Finds rows that swallowed others: a quote that nobody closed makes one value of all that follows, up to the next.

CSV cannot say whether a value with line breaks is meant. Three signs are taken, and such a row is set aside:

- it has more than 100 line breaks;
- its delimiters fall exactly as those of rows would: as many in its first line as columns are left, a row's worth
  in each line between, the rest in the last line. Chance is ruled out by asking for six such delimiters, for the
  one quote at the end that a swallowed `"value"` leaves behind, or for values that look like those of their
  columns: where each key is a number, so is what each of these lines begins with;
- it is the last of the file, and the file ends without the quote that would close it.

What stays open: two stray quotes around one or two short rows of a narrow file in which no column's values have
digits in a form of their own.
"""

# pyright: reportAttributeAccessIssue=false
# Arrow makes its kernels at import, where pyright does not see them.

import csv
import io
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MAX_LINE_BREAKS = 100
_MIN_DELIMITERS = 6
_SAMPLE_ROWS = 1000
_MAX_SHAPES = 3
_LINE_BREAK = re.compile(b"\n")
# What the values look like in columns whose values all have digits and few shapes; by the column's place in the file.
_Shapes = Mapping[int, set[str]]


def swallowing_rows(
    table: pa.Table, positions: Sequence[int], delimiter: str = ",", *, is_unclosed: bool = False
) -> dict[int, str]:
    """Find the rows that swallowed others: row of the table to its text, quoted anew.

    `positions` are the places of the table's columns in the file, counted from 0; `is_unclosed` says that the
    last row is the last of a file that does not end in a quote.
    """
    width = table.num_columns
    rows: set[int] = set()
    shapes: _Shapes | None = None
    for name, position in zip(table.column_names, positions, strict=True):
        for row in _suspects(table[name], width, delimiter):
            shapes = _column_shapes(table, positions) if shapes is None else shapes
            if _has_swallowed(table[name][row].as_py(), position, width, delimiter, shapes):
                rows.add(row)
    last = table.num_rows - 1
    if is_unclosed and last >= 0 and "\n" in table.column(positions.index(max(positions)))[last].as_py():
        rows.add(last)
    return {row: as_line(table, row, positions, delimiter) for row in sorted(rows)}


def _suspects(column: pa.ChunkedArray, width: int, delimiter: str) -> list[int]:
    if not any(_has_line_break(chunk) for chunk in column.chunks):
        return []
    rows = pc.indices_nonzero(pc.match_substring(column, "\n"))
    values = column.take(rows)
    breaks = pc.count_substring(values, "\n")
    are_like_rows = pc.equal(pc.count_substring(values, delimiter), pc.multiply(breaks, width - 1))
    are_suspect = pc.or_(are_like_rows, pc.greater(breaks, _MAX_LINE_BREAKS))
    return np.asarray(rows.filter(are_suspect)).tolist()


def _has_line_break(texts: pa.Array) -> bool:
    """Whether there is a line break among the bytes of all texts: one search, not one for each text."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    first, last = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)[[0, -1]]
    return _LINE_BREAK.search(memoryview(data)[first:last]) is not None


def _has_swallowed(value: str, position: int, width: int, delimiter: str, shapes: _Shapes) -> bool:
    lines = value.split("\n")
    if len(lines) > _MAX_LINE_BREAKS + 1:
        return True
    delimiters_of_rows = [width - 1 - position, *[width - 1] * (len(lines) - 2), position]
    if width == 1 or [line.count(delimiter) for line in lines] != delimiters_of_rows:
        return False
    ends_in_its_only_quote = value.endswith('"') and value.count('"') == 1
    if ends_in_its_only_quote or value.count(delimiter) >= _MIN_DELIMITERS:
        return True
    return _look_like_rows(lines, position, delimiter, shapes)


def _look_like_rows(lines: Sequence[str], position: int, delimiter: str, shapes: _Shapes) -> bool:
    """Whether their values have the shapes of their columns; the first line begins within column `position`."""
    matches: list[bool] = []
    for number, line in enumerate(lines):
        values = line.split(delimiter)
        if any(value.startswith(" ") for value in values):
            return False  # prose
        first = 0 if number else position
        matches += [_shape(value) in shapes[at] for at, value in enumerate(values, first) if value and at in shapes]
    return bool(matches) and all(matches)


def _column_shapes(table: pa.Table, positions: Sequence[int]) -> _Shapes:
    by_position: dict[int, set[str]] = {}
    for column, position in zip(table.columns, positions, strict=True):
        values = [value for value in column.slice(0, _SAMPLE_ROWS).to_pylist() if value and "\n" not in value]
        shapes = {_shape(value) for value in values}
        if len(values) > 1 and len(shapes) <= _MAX_SHAPES and all("9" in shape for shape in shapes):
            by_position[position] = shapes
    return by_position


def _shape(text: str) -> str:
    """The text with all words as `a` and all numbers as `9`: a9-9 of B12-345."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))


def as_line(table: pa.Table, row: int, positions: Sequence[int], delimiter: str) -> str:
    """A row as a line of the file, quoted anew."""
    values = [column[row].as_py() for column in table.columns]
    in_order_of_file = [value for _, value in sorted(zip(positions, values, strict=True))]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerow(in_order_of_file)
    return text.getvalue().removesuffix("\r\n")
