"""What local files have in common: pinned by size and time, cut into pages, sealed by digest."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceEmpty, SourceMoved, SourceUnreadable
from ingest_project.extract.source import MALFORMED, ROW, Cursor, Page, Pin, SourceFile

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Rows as a file's reader gives them: the pin's columns, `__malformed`; bytes taken of the file."""

    table: pa.Table
    bytes_read: int


@dataclass(frozen=True)
class Head:
    """What is known of a file without reading it: its columns, and whether there is a row at all."""

    columns: tuple[str, ...]
    has_rows: bool


@dataclass(frozen=True)
class LocalFiles(ABC):
    """Files read one after the other; pages may span them."""

    spec: BranchSpec
    paths: tuple[Path, ...]
    format: ClassVar[str]

    @abstractmethod
    def head(self, path: Path) -> Head:
        """Look at the header or footer of one file. Raises SourceUnreadable."""

    @abstractmethod
    def estimate(self) -> int | None:
        """Say how many rows there are, about, without reading them all."""

    @abstractmethod
    def chunks(self, file: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the rows of one file in order, but for the first `skip`, in chunks of the reader's choice."""

    def pin(self) -> Pin:
        """Look at every file. Raises SourceEmpty, SourceUnreadable, ColumnsMissing."""
        files = tuple(self._look(path) for path in self.paths)
        heads = [self.head(path) for path in self.paths]
        columns = self._common_columns(heads)
        if not any(head.has_rows for head in heads):
            names = ", ".join(path.name for path in self.paths[:5])
            raise SourceEmpty(f"the source has columns, and no rows: {names}", where=self.place())
        return Pin(self.format, files, columns, self.estimate())

    def place(self, path: Path | None = None, **more: object) -> dict[str, object]:
        """Say where an error is."""
        at: dict[str, object] = {"file": path} if path else {"location": self.spec.location}
        return {"branch": self.spec.name, **at, **more}

    def unreadable(self, path: Path, error: object) -> SourceUnreadable:
        """Put an error of the reader into our words."""
        words = (str(error).strip().splitlines() or ["no reason given"])[0]
        return SourceUnreadable(f"the file cannot be read as {self.format}: {words}", where=self.place(path))

    def _look(self, path: Path) -> SourceFile:
        try:
            with path.open("rb"):
                facts = path.stat()
        except OSError as error:
            why = f"the file cannot be read: {error.strerror or error}"
            raise SourceUnreadable(why, where=self.place(path)) from None
        if facts.st_size == 0:
            raise SourceEmpty("the file is empty: zero bytes", where=self.place(path))
        return SourceFile(str(path), facts.st_size, facts.st_mtime_ns)

    def _common_columns(self, heads: list[Head]) -> tuple[str, ...]:
        first = heads[0].columns
        for path, head in zip(self.paths, heads, strict=True):
            self._refuse_bad_names(path, head.columns)
            if set(head.columns) != set(first):
                raise self._differing(path, head.columns, first)
        return first

    def _refuse_bad_names(self, path: Path, columns: tuple[str, ...]) -> None:
        twice = sorted({repr(name) for name in columns if columns.count(name) > 1})
        if twice:
            why = f"the file names a column more than once: {', '.join(twice)}"
            raise SourceUnreadable(why, where=self.place(path))
        ours = sorted({ROW, MALFORMED} & set(columns))
        if ours:
            why = f"the file has a column {' and '.join(ours)}: a name that pages keep for themselves"
            raise SourceUnreadable(why, where=self.place(path), todo="Rename the column in the source.")

    def _differing(self, path: Path, columns: tuple[str, ...], first: tuple[str, ...]) -> Exception:
        both = f"{self.paths[0].name}: {', '.join(first)}\n    {path.name}: {', '.join(columns)}"
        declared = self.spec.declared_columns()
        missing = [name for name in declared if name in first and name not in columns]
        if missing:
            words = f"the file {path.name} has no column {', '.join(map(repr, missing))}:\n    {both}"
            return ColumnsMissing(words, where=self.place(path))
        return SourceUnreadable(f"the files of the branch have different columns:\n    {both}", where=self.place(path))

    def moved(self, pin: Pin) -> list[str]:
        """Say what is different now, one line a file; a new file counts."""
        known = {file.path for file in pin.files}
        new = [f"{path}: was not there, is new" for path in map(str, self.paths) if path not in known]
        return new + [words for file in pin.files if (words := _difference(file))]

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows, the last one fewer. Raises SourceMoved, SourceUnreadable."""
        self._refuse_moved(pin)
        try:
            yield from self._pages(pin, size, after or Cursor(0, 0, 0))
        except SourceUnreadable:
            # A file that is replaced while it is read may break its reader first; say what really happened.
            self._refuse_moved(pin)
            raise

    def _pages(self, pin: Pin, size: int, at: Cursor) -> Iterator[Page]:
        held: list[pa.Table] = []
        count = taken = 0
        for file, row, chunk in self._chunks_after(pin, at):
            held.append(chunk.table)
            count += chunk.table.num_rows
            taken += chunk.bytes_read
            while count >= size:
                whole = pa.concat_tables(held)
                rest = whole.slice(size)
                at = Cursor(file, row - rest.num_rows, at.rows + size)
                yield _page(whole.slice(0, size), at, taken)
                held, count, taken = [rest], rest.num_rows, 0
        if count:
            yield _page(pa.concat_tables(held), Cursor(len(pin.files), 0, at.rows + count), taken)

    def _chunks_after(self, pin: Pin, at: Cursor) -> Iterator[tuple[int, int, Chunk]]:
        # (file, rows of it up to and with this chunk, chunk)
        for file in range(at.file, len(pin.files)):
            row = at.row if file == at.file else 0
            for chunk in self.chunks(file, pin, row):
                row += chunk.table.num_rows
                yield file, row, chunk

    def seal(self, pin: Pin) -> Pin:
        """Return the pin with the digests of what was read. Raises SourceMoved."""
        # Digest first, look afterwards: what is replaced between the two is still noticed.
        files = tuple(replace(file, sha256=_digest(Path(file.path))) for file in pin.files)
        self._refuse_moved(pin)
        return replace(pin, files=files)

    def _refuse_moved(self, pin: Pin) -> None:
        changes = self.moved(pin)
        if changes:
            listed = "".join(f"\n    {change}" for change in changes)
            raise SourceMoved(f"the source changed after it was pinned:{listed}", where=self.place())


def _page(table: pa.Table, after: Cursor, bytes_read: int) -> Page:
    rows = pa.array(np.arange(after.rows - table.num_rows + 1, after.rows + 1, dtype=np.int64))
    malformed = table[MALFORMED]
    table = table.drop_columns([MALFORMED]).append_column(ROW, rows).append_column(MALFORMED, malformed)
    return Page(table.combine_chunks(), after, bytes_read)


def _difference(file: SourceFile) -> str | None:
    was = _facts(file.size, file.modified_ns)
    try:
        facts = Path(file.path).stat()
    except FileNotFoundError:
        return f"{file.path}: was {was}, is gone"
    except OSError as error:
        return f"{file.path}: was {was}, cannot be looked at: {error.strerror}"
    if (facts.st_size, facts.st_mtime_ns) == (file.size, file.modified_ns):
        return None
    return f"{file.path}: was {was}, is {_facts(facts.st_size, facts.st_mtime_ns)}"


def _facts(size: int, modified_ns: int) -> str:
    moment = datetime.fromtimestamp(modified_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return f"{size:,} bytes written {moment}"


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return None  # moved: the check behind this says so
    return digest.hexdigest()
