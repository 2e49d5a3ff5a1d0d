"""JSON documents: one array of objects, alone or inside an object (GeoJSON, answers of APIs), or objects in a row.

Only brackets, commas and quotes are looked at to find where each row begins and ends; what a row says is read as that
of JSON Lines. So a document of any size takes no more memory than its longest row, and one bad row is one reject.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.input_file import InputFile
from ingest_project.extract.json_rows import parse_row
from ingest_project.extract.jsonl import BLOCK, HEAD_BYTES, MAX_LINE_BYTES, JsonLinesFiles, blocks_of_lines
from ingest_project.extract.utf8 import Utf8File
from ingest_project.telemetry import log

_SPACE = b" \t\r\n"
# A whole string, with the colon that makes it a name; a quote alone is one whose end has not come yet.
_TOKEN = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|["\[\]{},]', re.DOTALL)
_DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_COLON_REACH = 64
_ADD_NAMES = "Give the values of each row their names: jq 'map({id: .[0], name: .[1]})' FILE"
_MAKE_ARRAY = "Make an array of it: jq '[.]' FILE where it is one row, jq '[.[]]' FILE where each of its values is one."
_SEPARATE = "Write the array that holds the rows as a file of its own: jq '.NAME' FILE"
_MEND = "If it is one object a line, say `format: jsonl` in the branch file; else mend the document, then run again."


@dataclass(frozen=True)
class JsonFiles(JsonLinesFiles):
    """The rows of each file are the elements of its array of objects, or its objects where there are several."""

    format = "json"

    def _no_objects(self, file: InputFile, line: bytes) -> SourceUnreadable:
        error = self.unreadable(file, f"its rows are no JSON objects, none before {HEAD_BYTES >> 20} MB")
        error.todo = _ADD_NAMES if line.startswith(b"[") else error.todo
        return error

    def estimate_rows(self, sizes: list[int]) -> int | None:
        """Count rows in the first megabyte of the first file, and go by size."""
        with self.open_utf8(self.inputs[0]) as handle:
            rows = len(self.first_lines(handle))
            return max(1, round(sum(sizes) * rows / max(1, handle.bytes_read)))

    def blocks(self, handle: Utf8File, *, is_head: bool = False) -> Iterator[list[bytes]]:
        """Yield the texts of the rows. Raises SourceUnreadable where the document is cut off, or has two arrays."""
        data = handle.read(BLOCK).removeprefix(b"\xef\xbb\xbf")
        if _is_lines(data):
            yield from blocks_of_lines(handle, data)
            return
        scanner = _RowScanner(is_sequence=_is_sequence(data))
        while data:
            yield scanner.feed(data)
            data = handle.read(BLOCK)
        yield scanner.finish()
        if not is_head and scanner.other_names:
            message = "branch %s: rows are in %r; not read: %s"
            log.info(message, self.spec.name, scanner.rows_name, ", ".join(scanner.other_names))


def _is_lines(data: bytes) -> bool:
    """Whether it is JSON Lines under another name: then one broken line is one reject."""
    line, _, rest = data.strip(_SPACE).partition(b"\n")
    is_object = parse_row(line.strip(_SPACE).decode(errors="ignore"), None) is not None
    return is_object and rest.lstrip(_SPACE).startswith(b"{")


def _is_sequence(data: bytes) -> bool:
    """Whether the rows are the objects themselves: the document begins with one, and another value follows it."""
    if not data.lstrip(_SPACE).startswith(b"{"):
        return False
    depth = 0
    for token in _TOKEN.finditer(data):
        depth += _DEPTH.get(token[0], 0)
        if depth == 0 and token[0] == b"}":
            return bool(data[token.end() :].strip(_SPACE))
    return False


@dataclass
class _RowScanner:
    """Finds the rows in a document that comes in blocks.

    `text` is scanned up to `at`; `start` is where the row at hand begins.
    """

    is_sequence: bool
    text: bytes = b""
    at: int = 0
    start: int | None = None
    brackets: list[bytes] = field(default_factory=list[bytes])  # those that are open at `at`
    depth: int | None = None  # how many of them are around the rows, once known
    has_just_opened: bool = False  # the last token opened an array
    names: list[str] = field(default_factory=list[str])  # of the outermost object
    rows_name: str = ""  # the one under which the rows are
    count: int = 0
    has_empty_array: bool = False  # it may be that of the rows

    def __post_init__(self) -> None:
        if self.is_sequence:
            self.start = self.depth = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Give the rows that end in the next bytes. Raises SourceUnreadable."""
        kept = self.at if self.start is None else self.start
        self.text, self.at = self.text[kept:] + data, self.at - kept
        self.start = None if self.start is None else 0
        if len(self.text) > 2 * MAX_LINE_BYTES + BLOCK:
            what = f"a row is longer than {2 * MAX_LINE_BYTES >> 20} MB, mostly for a quote or bracket never closed"
            raise SourceUnreadable(what, todo=_MEND)
        rows: list[bytes] = []
        for token in _TOKEN.finditer(self.text, self.at):
            if token[0] == b'"' or (token[1] is not None and self._may_become_name(token)):
                break
            self._step(token, rows)
            self.at = token.end()
        self.count += len(rows)
        return rows

    def finish(self) -> list[bytes]:
        """Give what is left as a row. Raises SourceUnreadable where the document is cut off, or has no array."""
        rest = self.text[self.at if self.start is None else self.start :].strip(_SPACE)
        if self.brackets or (rest and not self.is_sequence):
            how = "ends in the middle" if self.brackets else "goes on behind its end"
            raise SourceUnreadable(f"the JSON document {how}, behind row {self.count:,}", todo=_MEND)
        if self.names and not self.count and not self.has_empty_array:
            raise SourceUnreadable("the JSON document is one object, without an array of rows", todo=_MAKE_ARRAY)
        return [rest] if rest else []

    @property
    def other_names(self) -> list[str]:
        """What else the outermost object has, where the rows are in it."""
        return [name for name in dict.fromkeys(self.names) if name != self.rows_name] if self.rows_name else []

    def _may_become_name(self, token: re.Match[bytes]) -> bool:
        # The colon may come with the next bytes.
        is_near_end = len(self.text) - token.end() < _COLON_REACH and not token[2]
        return is_near_end and not self.text[token.end() :].strip(_SPACE)

    def _step(self, token: re.Match[bytes], rows: list[bytes]) -> None:
        kind = token[0]
        had_just_opened, self.has_just_opened = self.has_just_opened, kind == b"["
        if kind in _DEPTH:
            is_empty = had_just_opened and kind == b"]" and not self.text[self.at : token.start()].strip(_SPACE)
            self.has_empty_array |= is_empty
            if _DEPTH[kind] > 0:
                self._open_bracket(kind, token, had_just_opened)
            else:
                self._close_bracket(kind, token, rows)
        elif kind == b",":
            if not self.is_sequence and len(self.brackets) == self.depth:
                self._end_row(token.start(), token.end(), rows)
        elif token[2] and len(self.brackets) == 1 and self.brackets[0] == b"{":
            self.names.append(token[1].decode(errors="replace"))

    def _open_bracket(self, kind: bytes, token: re.Match[bytes], had_just_opened: bool) -> None:
        if self.depth is None and not self.is_sequence:
            if not self.brackets and kind == b"[":
                self._begin_rows(1, token.end())
            elif kind == b"{" and had_just_opened and set(self.brackets[:-1]) == {b"{"}:
                self._begin_rows(len(self.brackets), token.start())
        self.brackets.append(kind)

    def _begin_rows(self, depth: int, start: int) -> None:
        name = self.names[-1] if self.names else ""
        if self.count or self.rows_name:
            what = f"the JSON document has rows in {self.rows_name!r} and in {name!r}"
            raise SourceUnreadable(what, todo=_SEPARATE)
        self.depth, self.start, self.rows_name = depth, start, name

    def _close_bracket(self, kind: bytes, token: re.Match[bytes], rows: list[bytes]) -> None:
        if not self.brackets or (self.brackets[-1] == b"[") != (kind == b"]"):
            what = f"the brackets of the JSON document do not match, behind row {self.count + len(rows):,}"
            raise SourceUnreadable(what, todo=_MEND)
        if not self.is_sequence and len(self.brackets) == self.depth:
            self._end_row(token.start(), None, rows)
            self.depth = None
        self.brackets.pop()
        if self.is_sequence and not self.brackets:
            self._end_row(token.end(), token.end(), rows)

    def _end_row(self, end: int, next_start: int | None, rows: list[bytes]) -> None:
        text = self.text[self.start : end].strip(_SPACE)
        self.start = next_start
        rows += [text] if text else []
