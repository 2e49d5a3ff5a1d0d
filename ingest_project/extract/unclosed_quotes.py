"""A quote that nobody closed swallows the rows behind it, up to the next: they must not vanish in silence.

CSV cannot say whether a value with line breaks is meant. Three signs are taken, and such a row is set aside:

- it has more than 100 line breaks;
- its commas fall exactly as those of rows would: as many in its first line as columns are left, a row's worth
  in each line between, the rest in the last line. Chance is ruled out by asking for six such commas, for the
  one quote at the end that a swallowed `"value"` leaves behind, or for values that look like those of their
  columns: where each key is a number, so is what each of these lines begins with;
- it is the last of the file, and the file ends without the quote that would close it.

What stays open: two stray quotes around one or two short rows of a narrow file in which no column's values have
digits in a form of their own.
"""

# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong; its kernels are made at import.

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MOST_LINES = 100
_NOT_CHANCE = 6
_LOOK = 1000
_FEW = 3
_BREAK = re.compile(b"\n")


def swallowing_rows(
    table: pa.Table, positions: Sequence[int], delimiter: str = ",", *, unclosed: bool = False
) -> dict[int, str]:
    """Find the rows that swallowed others: row of the table to its text, quoted anew.

    `positions` are the places of the table's columns in the file, counted from 0; `unclosed` says that the
    last row is the last of a file that does not end in a quote.
    """
    width = table.num_columns
    found: set[int] = set()
    forms: _Forms | None = None
    for name, position in zip(table.column_names, positions, strict=True):
        for row in _suspects(table[name], width, delimiter):
            forms = forms or _Forms.of(table, positions)
            if _has_swallowed(table[name][row].as_py(), position, width, delimiter, forms):
                found.add(row)
    last = table.num_rows - 1
    if unclosed and last >= 0 and "\n" in table.column(positions.index(max(positions)))[last].as_py():
        found.add(last)
    return {row: as_line(table, row, positions, delimiter) for row in sorted(found)}


def _suspects(column: pa.ChunkedArray, width: int, delimiter: str) -> list[int]:
    if not any(_has_breaks(chunk) for chunk in column.chunks):
        return []
    rows = pc.indices_nonzero(pc.match_substring(column, "\n"))
    values = column.take(rows)
    breaks = pc.count_substring(values, "\n")
    like_rows = pc.equal(pc.count_substring(values, delimiter), pc.multiply(breaks, width - 1))
    kept = pc.or_(like_rows, pc.greater(breaks, _MOST_LINES))
    return np.asarray(rows.filter(kept)).tolist()


def _has_breaks(texts: pa.Array) -> bool:
    """Whether there is a line break among the bytes of all texts: one look, not one a text."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    first, last = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)[[0, -1]]
    return _BREAK.search(memoryview(data)[first:last]) is not None


@dataclass(frozen=True)
class _Forms:
    """What values look like by place in the file, in columns whose values all have digits and few forms."""

    by_place: dict[int, set[str]]

    @classmethod
    def of(cls, table: pa.Table, positions: Sequence[int]) -> "_Forms":
        found: dict[int, set[str]] = {}
        for column, position in zip(table.columns, positions, strict=True):
            texts = [text for text in column.slice(0, _LOOK).to_pylist() if text and "\n" not in text]
            forms = {_form(text) for text in texts}
            if len(texts) > 1 and len(forms) <= _FEW and all("9" in form for form in forms):
                found[position] = forms
        return cls(found)

    def fit(self, lines: Sequence[str], position: int, delimiter: str) -> bool:
        """Whether these lines look like rows; the first is the end of one that begins at this place."""
        told: list[bool] = []
        for number, line in enumerate(lines):
            fields = line.split(delimiter)
            if any(field.startswith(" ") for field in fields):
                return False  # prose
            begin = 0 if number else position
            told += [_form(text) in self.by_place[at] for at, text in enumerate(fields, begin) if self._tells(at, text)]
        return bool(told) and all(told)

    def _tells(self, place: int, text: str) -> bool:
        return bool(text) and place in self.by_place


def _form(text: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text))


def _has_swallowed(value: str, position: int, width: int, delimiter: str, forms: _Forms) -> bool:
    lines = value.split("\n")
    if len(lines) > _MOST_LINES + 1:
        return True
    expected = [width - 1 - position, *[width - 1] * (len(lines) - 2), position]
    if width == 1 or [line.count(delimiter) for line in lines] != expected:
        return False
    left_behind = value.endswith('"') and value.count('"') == 1
    if left_behind or value.count(delimiter) >= _NOT_CHANCE:
        return True
    return forms.fit(lines, position, delimiter)


def as_line(table: pa.Table, row: int, positions: Sequence[int], delimiter: str) -> str:
    """A row as it stands in the file, quoted anew."""
    values = [column[row].as_py() for column in table.columns]
    in_file = [value for _, value in sorted(zip(positions, values, strict=True))]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerow(in_file)
    return text.getvalue().removesuffix("\r\n")
