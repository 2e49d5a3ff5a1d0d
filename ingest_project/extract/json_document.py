"""JSON documents: one array of objects, alone or inside an object (GeoJSON, answers of APIs), or objects in a row.

Only brackets, commas and quotes are looked at to find where each row begins and ends; what a row says is read as that
of JSON Lines. So a document of any size takes no more memory than its longest row, and one bad row is one reject.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.json_rows import row_of
from ingest_project.extract.jsonl import BLOCK, LONGEST, LOOK, JsonLinesFiles, blocks_of_lines
from ingest_project.extract.place import Place
from ingest_project.extract.utf8 import Utf8File
from ingest_project.telemetry import log

_SPACE = b" \t\r\n"
# A whole string, with the colon that makes it a name; a quote alone is one whose end has not come yet.
_TOKEN = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|["\[\]{},]', re.DOTALL)
_DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_NEAR = 64
_NAMES = "Give the values of each row their names: jq 'map({id: .[0], name: .[1]})' FILE"
_ARRAY = "Make an array of it: jq '[.]' FILE where it is one row, jq '[.[]]' FILE where each of its values is one."
_LINES = "If it is one object a line, say `format: jsonl` in the branch file; else mend the document, then run again."


@dataclass(frozen=True)
class JsonFiles(JsonLinesFiles):
    """The rows of each file are the elements of its array of objects, or its objects where there are several."""

    format = "json"

    def _no_objects(self, place: Place, line: bytes) -> SourceUnreadable:
        error = self.unreadable(place, f"its rows are no JSON objects, none before {LOOK >> 20} MB")
        error.todo = _NAMES if line.startswith(b"[") else error.todo
        return error

    def estimate(self, sizes: list[int]) -> int | None:
        """Count rows in the first megabyte of the first file, and go by size."""
        with self.utf8(self.places[0]) as handle:
            rows = len(self.first_lines(handle))
            return max(1, round(sum(sizes) * rows / max(1, handle.bytes_read)))

    def blocks(self, handle: Utf8File, *, is_look: bool = False) -> Iterator[list[bytes]]:
        """Yield the texts of the rows. Raises SourceUnreadable where the document is cut off, or has two arrays."""
        data = handle.read(BLOCK).removeprefix(b"\xef\xbb\xbf")
        if _is_lines(data):
            yield from blocks_of_lines(handle, data)
            return
        rows = _Rows(is_sequence=_is_sequence(data))
        while data:
            yield rows.of(data)
            data = handle.read(BLOCK)
        yield rows.end()
        if not is_look and rows.beside:
            words = "branch %s: rows are in %r; not read: %s"
            log.info(words, self.spec.name, rows.held, ", ".join(rows.beside))


def _is_lines(first: bytes) -> bool:
    """Whether it is JSON Lines under another name: then one broken line is one reject."""
    line, _, rest = first.strip(_SPACE).partition(b"\n")
    is_object = row_of(line.strip(_SPACE).decode(errors="ignore"), None) is not None
    return is_object and rest.lstrip(_SPACE).startswith(b"{")


def _is_sequence(first: bytes) -> bool:
    """Whether the rows are the objects themselves: the first is no array, and another value follows it."""
    if not first.lstrip(_SPACE).startswith(b"{"):
        return False
    depth = 0
    for token in _TOKEN.finditer(first):
        depth += _DEPTH.get(token[0], 0)
        if depth == 0 and token[0] == b"}":
            return bool(first[token.end() :].strip(_SPACE))
    return False


@dataclass
class _Rows:
    """Where in the document we are: what is scanned up to `at`, the row at hand from `mark`, the brackets around."""

    is_sequence: bool
    text: bytes = b""
    at: int = 0
    mark: int | None = None
    open: list[bytes] = field(default_factory=list[bytes])
    depth: int | None = None  # of the brackets around the rows, once known
    is_fresh: bool = False  # the last token opened an array
    names: list[str] = field(default_factory=list[str])  # of the outermost object
    held: str = ""  # the name under which the rows are
    count: int = 0
    is_empty: bool = False  # an array has nothing in it: it may be that of the rows

    def __post_init__(self) -> None:
        if self.is_sequence:
            self.mark = self.depth = 0

    def of(self, data: bytes) -> list[bytes]:
        """Give the rows that end in the next bytes. Raises SourceUnreadable."""
        kept = self.at if self.mark is None else self.mark
        self.text, self.at = self.text[kept:] + data, self.at - kept
        self.mark = None if self.mark is None else 0
        if len(self.text) > 2 * LONGEST + BLOCK:
            raise _broken(f"a row is longer than {2 * LONGEST >> 20} MB, mostly for a quote or bracket never closed")
        found: list[bytes] = []
        for token in _TOKEN.finditer(self.text, self.at):
            if token[0] == b'"' or (token[1] is not None and self._may_be_name(token)):
                break
            self._step(token, found)
            self.at = token.end()
        self.count += len(found)
        return found

    def _may_be_name(self, token: re.Match[bytes]) -> bool:
        # The colon may come with the next bytes.
        near = len(self.text) - token.end() < _NEAR and not token[2]
        return near and not self.text[token.end() :].strip(_SPACE)

    def end(self) -> list[bytes]:
        """Give what is left as a row. Raises SourceUnreadable where the document is cut off, or has no array."""
        rest = self.text[self.at if self.mark is None else self.mark :].strip(_SPACE)
        if self.open or (rest and not self.is_sequence):
            where = "ends in the middle" if self.open else "goes on behind its end"
            raise _broken(f"the JSON document {where}, behind row {self.count:,}")
        if self.names and not self.count and not self.is_empty:
            raise SourceUnreadable("the JSON document is one object, without an array of rows", todo=_ARRAY)
        return [rest] if rest else []

    @property
    def beside(self) -> list[str]:
        """What else the outermost object has, where the rows are in it."""
        return [name for name in dict.fromkeys(self.names) if name != self.held] if self.held else []

    def _step(self, token: re.Match[bytes], found: list[bytes]) -> None:
        kind = token[0]
        was_fresh, self.is_fresh = self.is_fresh, kind == b"["
        if kind in _DEPTH:
            self.is_empty |= was_fresh and kind == b"]" and not self.text[self.at : token.start()].strip(_SPACE)
            if _DEPTH[kind] > 0:
                self._opened(kind, token, was_fresh)
            else:
                self._closed(kind, token, found)
        elif kind == b",":
            if not self.is_sequence and len(self.open) == self.depth:
                self._ended(token.start(), token.end(), found)
        elif token[2] and len(self.open) == 1 and self.open[0] == b"{":
            self.names.append(token[1].decode(errors="replace"))

    def _opened(self, kind: bytes, token: re.Match[bytes], was_fresh: bool) -> None:
        if self.depth is None and not self.is_sequence:
            if not self.open and kind == b"[":
                self._found_rows(1, token.end())
            elif kind == b"{" and was_fresh and set(self.open[:-1]) == {b"{"}:
                self._found_rows(len(self.open), token.start())
        self.open.append(kind)

    def _found_rows(self, depth: int, mark: int) -> None:
        name = self.names[-1] if self.names else ""
        if self.count or self.held:
            raise _broken(f"the JSON document has rows in {self.held!r} and in {name!r}")
        self.depth, self.mark, self.held = depth, mark, name

    def _closed(self, kind: bytes, token: re.Match[bytes], found: list[bytes]) -> None:
        if not self.open or (self.open[-1] == b"[") != (kind == b"]"):
            raise _broken(f"the brackets of the JSON document do not match, behind row {self.count + len(found):,}")
        if not self.is_sequence and len(self.open) == self.depth:
            self._ended(token.start(), None, found)
            self.depth = None
        self.open.pop()
        if self.is_sequence and not self.open:
            self._ended(token.end(), token.end(), found)

    def _ended(self, end: int, mark: int | None, found: list[bytes]) -> None:
        text = self.text[self.mark : end].strip(_SPACE)
        self.mark = mark
        found += [text] if text else []


def _broken(what: str) -> SourceUnreadable:
    todo = "Write the array that holds the rows as a file of its own: jq '.NAME' FILE" if "rows in" in what else _LINES
    return SourceUnreadable(what, todo=todo)
