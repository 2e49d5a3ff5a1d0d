"""JSON Lines: one object a line, every value as text: numbers as spelled, nested ones as JSON, null and absent null.

Which keys there are, only reading all of it would tell. The first megabyte of each file decides which have a
column; keys that turn up later are kept in `__more`, one JSON object a row, and so reach the item's attributes.
"""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
from babel.numbers import get_decimal_symbol

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.files import Chunk, Head
from ingest_project.extract.json_rows import Number, Row, Shown, row_of
from ingest_project.extract.nested import is_inside
from ingest_project.extract.place import Place
from ingest_project.extract.source import MALFORMED, MORE, ROW, Pin
from ingest_project.extract.text import TextFiles
from ingest_project.extract.utf8 import Utf8File
from ingest_project.telemetry import log

BLOCK = 1 << 20
LOOK = 1 << 20
LONGEST = 2 << 20  # bytes of a line, as of a CSV row
_KEPT = 128 << 10  # of a longer one, which is malformed: more than a reject keeps, so that it is marked as cut
_MOST_COLUMNS = 1000  # a file whose keys are data must not make a table of a million columns
_SPACE = b" \t\r"
_WHOLE = re.compile(r"\.0+$")
_TEXT: dict[object, str] = {True: "true", False: "false"}


@dataclass(frozen=True)
class JsonLinesFiles(TextFiles):
    """One JSON object a line, UTF-8; blank lines are skipped. A line that is none is malformed, in its place."""

    format = "jsonl"
    header_lines = 0

    def head(self, place: Place) -> Head:
        """Find the keys of the first megabyte. Raises SourceUnreadable where it holds no object."""
        with self.utf8(place) as handle:
            lines = self.first_lines(handle)
        rows = [row for line in lines if (row := _row(line, None, inside=self._inside)) is not None]
        if lines and not rows:
            raise self._no_objects(place, lines[0])
        return Head(tuple(dict.fromkeys(chain.from_iterable(rows))), bool(lines))

    def _no_objects(self, place: Place, line: bytes) -> SourceUnreadable:
        error = self.unreadable(place, f"its first line is no JSON object, nor is another before {LOOK >> 20} MB")
        if line.startswith((b"[", b"{")):
            error.todo = (
                "If it is one JSON document rather than an object a line, say `format: json` in the branch file."
            )
        return error

    @property
    def _inside(self) -> tuple[str, ...] | None:
        # Names of values in arrays, where the branch wants nested values spread out.
        spread = self.spec.nested == "flatten"
        return tuple(name for name in self.spec.declared_columns() if is_inside(name)) if spread else None

    def blocks(self, handle: Utf8File, *, is_look: bool = False) -> Iterator[list[bytes]]:
        """Yield the texts of the rows, those of a block of the file at a time; `is_look`: all will be read again."""
        return blocks_of_lines(handle, handle.read(BLOCK))

    def first_lines(self, handle: Utf8File) -> list[bytes]:
        """Give the texts of the rows in the first megabyte."""
        lines: list[bytes] = []
        for block in self.blocks(handle, is_look=True):
            lines += block
            if lines and handle.taken >= LOOK:
                break
        return lines

    def _common_columns(self, heads: list[Head]) -> tuple[str, ...]:
        # Files need not agree.
        seen = dict.fromkeys(name for head in heads for name in head.columns if _may_be_column(name))
        declared = [name for name in self.spec.declared_columns() if name in seen or self._may_come_late(name)]
        late = [name for name in declared if name not in seen]
        if seen and late:
            words = "branch %s: the first megabyte of its files has no %s; rows without are blank there"
            log.warning(words, self.spec.name, ", ".join(map(repr, late)))
        return (*dict.fromkeys([*list(seen)[:_MOST_COLUMNS], *declared]), MORE) if seen else ()

    def _may_come_late(self, name: str) -> bool:
        # What every item must have is in the first megabyte, or its name is mistaken.
        named = self.spec.mapping["name"]
        return _may_be_column(name) and name not in (self.spec.key, None if named.default else named.column)

    def chunks(self, file: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's blocks as tables; the rows to skip are counted, not parsed."""
        table = _Table(pin.columns, self.spec.key, self._shown(), self._inside)
        counted = 0
        with self.utf8(self.place(pin.files[file])) as handle:
            for lines in self.blocks(handle):
                wanted = lines[skip:]
                skip -= len(lines) - len(wanted)
                if wanted:
                    yield Chunk(table.of(wanted), handle.bytes_read - counted)
                    counted = handle.bytes_read

    def _shown(self) -> Shown | None:
        # Prices are text of the branch's locale to those who read on. JSON's own numbers have a point in every
        # locale: 1.234 must not become a thousand in German.
        price = self.spec.mapping.get("price")
        mark = get_decimal_symbol(self.spec.locale)
        if price is None or price.column is None or mark == ".":
            return None
        column = price.column
        return lambda name, value: value.replace(".", mark) if name == column and isinstance(value, Number) else value


@dataclass(frozen=True)
class _Table:
    columns: tuple[str, ...]
    key: str
    shown: Shown | None
    inside: tuple[str, ...] | None

    def of(self, lines: list[bytes]) -> pa.Table:
        names = frozenset(self.columns) - {MORE}
        found = [_row(line, names, self.shown, self.inside) for line in lines]
        bad = [None if row is not None else _cut(line) for line, row in zip(lines, found, strict=True)]
        rows: list[Row] = [row or {} for row in found]
        columns = {name: _column(rows, name) for name in self.columns}
        if self.key in columns:  # a look knows of no key
            columns[self.key] = [self._key(key, line) for key, line in zip(columns[self.key], lines, strict=True)]
        texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        return pa.table({**texts, MALFORMED: pa.array(bad, pa.string())})

    def _key(self, key: str | bool | None, line: bytes) -> str | bool | None:
        """7.0 is the key 7 where the line has it as a number: a blank among numbers makes fractions of all."""
        if not isinstance(key, str) or not key.endswith("0") or not _WHOLE.search(key):
            return key
        row = _row(line, None, lambda _, value: value, self.inside) or {}
        return _WHOLE.sub("", key) if isinstance(row.get(self.key), Number) else key


def _column(rows: list[Row], name: str) -> list[str | bool | None]:
    values = [row.get(name) for row in rows]
    return [_TEXT.get(value, value) for value in values] if bool in set(map(type, values)) else values


def _row(
    line: bytes, names: frozenset[str] | None, shown: Shown | None = None, inside: tuple[str, ...] | None = None
) -> Row | None:
    return row_of(line.decode(), names, shown, inside) if len(line) <= LONGEST else None


def _cut(line: bytes) -> str:
    return (line if len(line) <= LONGEST else line[:_KEPT]).decode(errors="ignore")


def _may_be_column(name: str) -> bool:
    # Others are kept in `__more`, where they do no harm: Postgres has no NUL, and pages have columns of their own.
    return "\0" not in name and name not in (ROW, MALFORMED, MORE)


def blocks_of_lines(handle: Utf8File, data: bytes) -> Iterator[list[bytes]]:
    """Lines that are not blank, without white space around them; of a longer one than we read, its beginning.

    `data` is what has been taken of the handle already.
    """
    rest = b""
    data = data.removeprefix(b"\xef\xbb\xbf")
    while data:
        *lines, rest = (rest + data).split(b"\n")
        yield [bare for line in lines if (bare := _bare(line))]
        rest = rest.lstrip(_SPACE)[: LONGEST + 1]
        data = handle.read(BLOCK)
    yield [bare for line in [rest] if (bare := _bare(line))]


def _bare(line: bytes) -> bytes:
    # One that is too long stays so, whatever stands at its end.
    bare = line.lstrip(_SPACE)
    return bare if len(bare) > LONGEST else bare.rstrip(_SPACE)
