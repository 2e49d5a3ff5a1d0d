"""Where the header of a delimited file is: lines that programs and people write before it are skipped."""

import csv
from collections.abc import Sequence
from itertools import pairwise

from ingest_project.guess.columns import NUMBER

_MARKS = (";", "\t", "|", ",")
_DEEPEST = 20
_FEW = 2


def header_line(lines: Sequence[str]) -> tuple[int, str] | None:
    """How many lines stand before the header, and what separates its names; None where it is the first line.

    `sep=;` is Excel's. Else the header is the first of two lines with as many values, where each line before has one
    value, even if a spreadsheet filled it up with blanks, or begins with `#`. A header may begin with `#` too: where a
    row of as many values follows, one a number.
    """
    written = [(at, line.strip()) for at, line in enumerate(lines) if line.strip()]
    if not written:
        return None
    at, first = written[0]
    if first.lower().startswith("sep=") and len(first) == len("sep=;"):
        _, header = _first_pair(written[1:], first[-1]) or (0, at + 1)
        return header, first[-1]
    found = [(*place, mark) for mark in _MARKS if (place := _first_pair(written, mark))]
    width, at, mark = max(found, default=(0, 0, ","), key=lambda one: (one[0], -one[1]))
    return (at, mark) if width and at > written[0][0] else None


def has_bare_quotes(lines: Sequence[str], mark: str) -> bool:
    """Whether a quote may be a letter here: one opens a value that its line does not close, and all are as wide."""
    rows = [line.split(mark) for line in lines if line.strip()]
    opened = any(value.startswith('"') and value.count('"') % 2 for row in rows for value in row)
    return opened and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1


def _first_pair(lines: Sequence[tuple[int, str]], mark: str) -> tuple[int, int] | None:
    """(values, line) of the first line that has as many values as the next one, and more than one."""
    title_before = False
    for (at, line), (_, following) in pairwise(lines[:_DEEPEST]):
        names, values = _values(line, mark), _values(following, mark)
        if _is_title(names):
            title_before = True
            continue
        is_above_row = not following.startswith("#") and any(map(NUMBER.fullmatch, values))
        is_remark = line.startswith("#") and not (len(names) == len(values) and is_above_row)
        if not is_remark and len(names) > 1:
            is_header = len(names) == len(values) and (not title_before or _are_names(names))
            return (len(names), at) if is_header else None
    return None


def _is_title(values: Sequence[str]) -> bool:
    """Whether most of a line are blanks, as a spreadsheet writes them beside what stands above its table."""
    return len(values) > _FEW and len(list(filter(None, values))) * 2 < len(values)


def _are_names(values: Sequence[str]) -> bool:
    return not any(not value or NUMBER.fullmatch(value) for value in values)


def _values(line: str, mark: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return []
