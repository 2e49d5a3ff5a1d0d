"""JSON Lines: one object a line, every value as text: numbers as spelled, nested ones as JSON, null and absent null.

Which keys there are, only reading all of it would tell. The first megabyte of each file decides which have a
column; keys that turn up later are kept in `__more`, one JSON object a row, and so reach the item's attributes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
from babel.numbers import get_decimal_symbol

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.files import Chunk, Head
from ingest_project.extract.input_file import InputFile
from ingest_project.extract.json_rows import Convert, Number, Row, parse_row
from ingest_project.extract.nested import is_array_path
from ingest_project.extract.source import MALFORMED, MORE, ROW, Pin
from ingest_project.extract.text import TextFiles
from ingest_project.extract.utf8 import Utf8File
from ingest_project.telemetry import log

BLOCK = 1 << 20
HEAD_BYTES = 1 << 20
MAX_LINE_BYTES = 2 << 20  # as of a CSV row
_KEPT_BYTES = 128 << 10  # of a longer, malformed line: more than a reject keeps, so that it is marked as cut
_MAX_COLUMNS = 1000  # a file whose keys are data must not make a table of a million columns
_SPACE = b" \t\r"
_ZERO_FRACTION = re.compile(r"\.0+$")
_TEXT: dict[object, str] = {True: "true", False: "false"}


@dataclass(frozen=True)
class JsonLinesFiles(TextFiles):
    """One JSON object a line, UTF-8; blank lines are skipped. A line that is none is malformed, in its place."""

    format = "jsonl"
    header_lines = 0

    def head(self, file: InputFile) -> Head:
        """Find the keys of the first megabyte. Raises SourceUnreadable where it holds no object."""
        with self.open_utf8(file) as handle:
            lines = self.first_lines(handle)
        rows = [row for line in lines if (row := _parse(line, None, array_paths=self._array_paths)) is not None]
        if lines and not rows:
            raise self._no_objects(file, lines[0])
        return Head(tuple(dict.fromkeys(chain.from_iterable(rows))), bool(lines))

    def _no_objects(self, file: InputFile, line: bytes) -> SourceUnreadable:
        error = self.unreadable(file, f"its first line is no JSON object, nor is another before {HEAD_BYTES >> 20} MB")
        if line.startswith((b"[", b"{")):
            error.todo = (
                "If it is one JSON document rather than an object a line, say `format: json` in the branch file."
            )
        return error

    @property
    def _array_paths(self) -> tuple[str, ...] | None:
        # None where the branch wants nested values kept as they are.
        if self.spec.nested != "flatten":
            return None
        return tuple(name for name in self.spec.declared_columns() if is_array_path(name))

    def blocks(self, handle: Utf8File, *, is_head: bool = False) -> Iterator[list[bytes]]:
        """Yield the texts of the rows, those of a block of the file at a time; `is_head`: all will be read again."""
        return blocks_of_lines(handle, handle.read(BLOCK))

    def first_lines(self, handle: Utf8File) -> list[bytes]:
        """Give the texts of the rows in the first megabyte."""
        lines: list[bytes] = []
        for block in self.blocks(handle, is_head=True):
            lines += block
            if lines and handle.text_bytes_read >= HEAD_BYTES:
                break
        return lines

    def _common_columns(self, heads: list[Head]) -> tuple[str, ...]:
        # Files need not agree.
        present = dict.fromkeys(name for head in heads for name in head.columns if _may_be_column(name))
        declared = [name for name in self.spec.declared_columns() if name in present or self._may_come_late(name)]
        late = [name for name in declared if name not in present]
        if present and late:
            message = "branch %s: the first megabyte of its files has no %s; rows without are blank there"
            log.warning(message, self.spec.name, ", ".join(map(repr, late)))
        return (*dict.fromkeys([*list(present)[:_MAX_COLUMNS], *declared]), MORE) if present else ()

    def _may_come_late(self, name: str) -> bool:
        # Key and name, which every item must have, are in the first megabyte, or the branch misspells them.
        item_name = self.spec.mapping["name"]
        return _may_be_column(name) and name not in (self.spec.key, None if item_name.default else item_name.column)

    def chunks(self, number: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's blocks as tables; the rows to skip are counted, not parsed."""
        parser = _Parser(pin.columns, self.spec.key, self._price_converter(), self._array_paths)
        counted = 0
        with self.open_utf8(self.input_file(pin.files[number])) as handle:
            for block in self.blocks(handle):
                lines = block[skip:]
                skip -= len(block) - len(lines)
                if lines:
                    yield Chunk(parser.parse(lines), handle.bytes_read - counted)
                    counted = handle.bytes_read

    def _price_converter(self) -> Convert | None:
        # Prices are text of the branch's locale to later stages. JSON's own numbers have a point in every locale:
        # 1.234 must not become a thousand in German.
        price = self.spec.mapping.get("price")
        mark = get_decimal_symbol(self.spec.locale)
        if price is None or price.column is None or mark == ".":
            return None
        column = price.column
        return lambda name, value: value.replace(".", mark) if name == column and isinstance(value, Number) else value


@dataclass(frozen=True)
class _Parser:
    """Makes tables of lines."""

    columns: tuple[str, ...]
    key: str
    convert: Convert | None
    array_paths: tuple[str, ...] | None

    def parse(self, lines: list[bytes]) -> pa.Table:
        names = frozenset(self.columns) - {MORE}
        parsed = [_parse(line, names, self.convert, self.array_paths) for line in lines]
        malformed = [None if row is not None else _cut(line) for line, row in zip(lines, parsed, strict=True)]
        rows: list[Row] = [row or {} for row in parsed]
        columns = {name: _values(rows, name) for name in self.columns}
        if self.key in columns:  # the head of a file that no branch describes is read without a key
            columns[self.key] = [
                self._without_fraction(key, line) for key, line in zip(columns[self.key], lines, strict=True)
            ]
        texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        return pa.table({**texts, MALFORMED: pa.array(malformed, pa.string())})

    def _without_fraction(self, key: str | bool | None, line: bytes) -> str | bool | None:
        # The number 7.0 is the key 7: a blank among integers makes some programs write all of them as floats.
        if not isinstance(key, str) or not key.endswith("0") or not _ZERO_FRACTION.search(key):
            return key
        row = _parse(line, None, lambda _, value: value, self.array_paths) or {}
        return _ZERO_FRACTION.sub("", key) if isinstance(row.get(self.key), Number) else key


def _values(rows: list[Row], name: str) -> list[str | bool | None]:
    values = [row.get(name) for row in rows]
    return [_TEXT.get(value, value) for value in values] if bool in set(map(type, values)) else values


def _parse(
    line: bytes,
    names: frozenset[str] | None,
    convert: Convert | None = None,
    array_paths: tuple[str, ...] | None = None,
) -> Row | None:
    return parse_row(line.decode(), names, convert, array_paths) if len(line) <= MAX_LINE_BYTES else None


def _cut(line: bytes) -> str:
    return (line if len(line) <= MAX_LINE_BYTES else line[:_KEPT_BYTES]).decode(errors="ignore")


def _may_be_column(name: str) -> bool:
    # Others are kept in `__more`, where they do no harm: Postgres has no NUL, and pages have columns of their own.
    return "\0" not in name and name not in (ROW, MALFORMED, MORE)


def blocks_of_lines(handle: Utf8File, data: bytes) -> Iterator[list[bytes]]:
    """Yield lines that are not blank, without white space around them; of one that is too long, its beginning.

    `data` is what has been read of the handle already.
    """
    rest = b""
    data = data.removeprefix(b"\xef\xbb\xbf")
    while data:
        *lines, rest = (rest + data).split(b"\n")
        yield [bare for line in lines if (bare := _strip(line))]
        rest = rest.lstrip(_SPACE)[: MAX_LINE_BYTES + 1]
        data = handle.read(BLOCK)
    yield [bare for line in [rest] if (bare := _strip(line))]


def _strip(line: bytes) -> bytes:
    # One that is too long stays so, whatever stands at its end.
    bare = line.lstrip(_SPACE)
    return bare if len(bare) > MAX_LINE_BYTES else bare.rstrip(_SPACE)
