"""Finds the header of a delimited file behind the lines that programs and people write before it."""

import csv
from collections.abc import Sequence
from itertools import pairwise

from ingest_project.guess.columns import NUMBER, count_of_known

_DELIMITERS = (";", "\t", "|", ",")
_MAX_LINES = 20
_MIN_COLUMNS_OF_TITLE = 3
_MIN_KNOWN = 3


def header_line(lines: Sequence[str]) -> tuple[int, str] | None:
    """(number of lines before the header, delimiter); None where the header is the first line.

    `sep=;` is Excel's. Else the header is the first of two lines with as many values, where each line before has one
    value, even if a spreadsheet filled it up with blanks, or begins with `#`, or names no column that we know above
    one that does. A header may begin with `#` too: where a row of as many values follows, one a number.
    """
    numbered = [(number, line.strip()) for number, line in enumerate(lines) if line.strip()]
    if not numbered:
        return None
    first_number, first = numbered[0]
    if first.lower().startswith("sep=") and len(first) == len("sep=;"):
        _, number = _find_header(numbered[1:], first[-1]) or (0, first_number + 1)
        return number, first[-1]
    headers = [(*header, mark) for mark in _DELIMITERS if (header := _find_header(numbered, mark))]
    width, number, delimiter = max(headers, default=(0, 0, ","), key=lambda header: (header[0], -header[1]))
    return (number, delimiter) if width and number > first_number else None


def has_bare_quotes(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes may be letters: one opens a value that its line does not close, and all lines are as wide."""
    rows = [line.split(delimiter) for line in lines if line.strip()]
    is_open = any(value.startswith('"') and value.count('"') % 2 for row in rows for value in row)
    return is_open and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1


def _find_header(lines: Sequence[tuple[int, str]], delimiter: str) -> tuple[int, int] | None:
    """(count of values, number) of the first line that has as many values as the next one, and more than one."""
    has_title = False
    for (number, line), (_, following) in pairwise(lines[:_MAX_LINES]):
        names, values = _split(line, delimiter), _split(following, delimiter)
        if _is_title(names) or _is_above_names(names, values):
            has_title = True
            continue
        is_above_row = not following.startswith("#") and any(map(NUMBER.fullmatch, values))
        is_remark = line.startswith("#") and not (len(names) == len(values) and is_above_row)
        if not is_remark and len(names) > 1:
            is_header = len(names) == len(values) and (not has_title or _are_names(names))
            return (len(names), number) if is_header else None
    return None


def _is_title(values: Sequence[str]) -> bool:
    """Whether most of a line is blank, as a spreadsheet writes what stands above its table."""
    return len(values) >= _MIN_COLUMNS_OF_TITLE and len(list(filter(None, values))) * 2 < len(values)


def _is_above_names(names: Sequence[str], below: Sequence[str]) -> bool:
    """Whether below stand names of columns that we know, half of them at least and three, and none of these is one.

    Two may be values: of tables of tags, the first row may be `amenity, shop`.
    """
    return count_of_known(below) >= max(_MIN_KNOWN, len(below) / 2) and not count_of_known(names)


def _are_names(values: Sequence[str]) -> bool:
    return not any(not value or NUMBER.fullmatch(value) for value in values)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []
