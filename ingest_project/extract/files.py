"""The base of all sources of files: pinned by size and time, read in pages, sealed by digest."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import ClassVar

import pyarrow as pa

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceEmpty, SourceMoved, SourceUnreadable, first_line
from ingest_project.extract.input_file import FileState, InputFile
from ingest_project.extract.source import MALFORMED, MAX_PAGE_BYTES, MORE, ROW, Cursor, Page, Pin, SourceFile, page_of


@dataclass(frozen=True)
class Chunk:
    """Rows as a file's reader gives them: the pin's columns, then `__malformed`; and the bytes read for them."""

    table: pa.Table
    bytes_read: int


@dataclass(frozen=True)
class Head:
    """What the beginning, or the footer, of a file says: its columns, and whether there is a row at all."""

    columns: tuple[str, ...]
    has_rows: bool


@dataclass(frozen=True)
class Files(ABC):
    """Files read one after the other; pages may span them."""

    spec: BranchSpec
    inputs: tuple[InputFile, ...]
    format: ClassVar[str]

    @abstractmethod
    def head(self, file: InputFile) -> Head:
        """Read the header or footer of one file. Raises SourceUnreadable."""

    @abstractmethod
    def estimate_rows(self, sizes: list[int]) -> int | None:
        """Say how many rows there are, about, without reading them all."""

    @abstractmethod
    def chunks(self, number: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the rows of file `number` in order, but for the first `skip`, in chunks of the reader's choice."""

    @property
    def resumes(self) -> bool:
        """Yes: a file that has not changed is read on after a cursor."""
        return True

    def pin(self) -> Pin:
        """Look at every file. Raises SourceEmpty, SourceUnreadable, ColumnsMissing."""
        files = tuple(self._source_file(file) for file in self.inputs)
        heads = [self.head(file) for file in self.inputs]
        columns = self._common_columns(heads)
        if not any(head.has_rows for head in heads):
            names = ", ".join(file.name for file in self.inputs[:5])
            has = "has columns, and" if columns else "has"
            raise SourceEmpty(f"the source {has} no rows: {names}", where=self.where())
        in_files = {MORE}.union(*(head.columns for head in heads))
        late = tuple(name for name in columns if name not in in_files)
        return Pin(self.format, files, columns, self.estimate_rows([file.size for file in files]), late=late)

    def where(self, file: InputFile | None = None) -> dict[str, object]:
        """Say where an error is."""
        return {"branch": self.spec.name, **({"file": file.key} if file else {"location": self.spec.location})}

    def input_file(self, pinned: SourceFile) -> InputFile:
        """Find a pinned file. Raises SourceMoved where the location has it no more."""
        file = self._inputs_by_key.get(pinned.path)
        if file is None:
            raise SourceMoved(f"the source changed after it was pinned: {pinned.path} is gone", where=self.where())
        return file

    def unreadable(self, file: InputFile, error: object) -> SourceUnreadable:
        """Give the error to raise for one of the reader's, or for words."""
        what = f"the file cannot be read as {self.format}: {first_line(error)}"
        return SourceUnreadable(what, where=self.where(file))

    @cached_property
    def _inputs_by_key(self) -> dict[str, InputFile]:
        return {file.key: file for file in self.inputs}

    def _source_file(self, file: InputFile) -> SourceFile:
        try:
            state = file.state()
        except OSError as error:
            what = f"the file cannot be read: {error.strerror or error}"
            raise SourceUnreadable(what, where=self.where(file)) from None
        if state.size == 0:
            raise SourceEmpty("the file is empty: zero bytes", where=self.where(file))
        return SourceFile(file.key, state.size, state.modified_ns, etag=state.etag)

    def _common_columns(self, heads: list[Head]) -> tuple[str, ...]:
        first = heads[0].columns
        for file, head in zip(self.inputs, heads, strict=True):
            self._refuse_bad_names(file, head.columns)
            if set(head.columns) != set(first):
                raise self._different_columns(file, head.columns, first)
        return first

    def _refuse_bad_names(self, file: InputFile, columns: tuple[str, ...]) -> None:
        repeated = sorted({repr(name) for name in columns if columns.count(name) > 1})
        if repeated:
            what = f"the file names a column more than once: {', '.join(repeated)}"
            raise SourceUnreadable(what, where=self.where(file))
        if any("\0" in name for name in columns):
            what = "the file has a column with the character NUL in its name, which Postgres cannot store"
            raise SourceUnreadable(what, where=self.where(file), todo="Rename the column in the source.")
        reserved = sorted({ROW, MALFORMED, MORE} & set(columns))
        if reserved:
            what = f"the file has a column {' and '.join(reserved)}: a name that pages keep for themselves"
            raise SourceUnreadable(what, where=self.where(file), todo="Rename the column in the source.")

    def _different_columns(self, file: InputFile, columns: tuple[str, ...], first: tuple[str, ...]) -> Exception:
        headers = f"{self.inputs[0].name}: {', '.join(first)}\n    {file.name}: {', '.join(columns)}"
        missing = [name for name in self.spec.declared_columns() if name in first and name not in columns]
        if missing:
            what = f"the file {file.name} has no column {', '.join(map(repr, missing))}:\n    {headers}"
            return ColumnsMissing(what, where=self.where(file))
        what = f"the files of the branch have different columns:\n    {headers}"
        return SourceUnreadable(what, where=self.where(file))

    def moved(self, pin: Pin) -> list[str]:
        """Say what is different now, one line a file; a new file counts."""
        pinned = {file.path for file in pin.files}
        new = [f"{key}: was not there, is new" for key in self._inputs_by_key if key not in pinned]
        changes = (_difference(file, self._inputs_by_key.get(file.path)) for file in pin.files)
        return [*new, *filter(None, changes)]

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows, or of MAX_PAGE_BYTES. Raises SourceMoved, SourceUnreadable."""
        self._refuse_moved(pin)
        try:
            yield from self._pages(pin, size, after or Cursor(0, 0, 0))
        except SourceUnreadable:
            # A file that is replaced while it is read may break its reader first; say what really happened.
            self._refuse_moved(pin)
            raise

    def _pages(self, pin: Pin, size: int, cursor: Cursor) -> Iterator[Page]:
        tables: list[pa.Table] = []
        rows = weight = bytes_read = 0
        for file, row, chunk in self._chunks_after(pin, cursor):
            rows_before = rows
            tables.append(chunk.table)
            rows += chunk.table.num_rows
            weight += chunk.table.nbytes
            bytes_read += chunk.bytes_read
            while rows >= size or (rows and weight >= MAX_PAGE_BYTES):
                # The rows from before this chunk stay together: the cursor is a place in the file of this chunk.
                count = min(size, max(rows_before, 1, rows * MAX_PAGE_BYTES // max(weight, MAX_PAGE_BYTES)))
                table = pa.concat_tables(tables)
                rest = table.slice(count)
                cursor = Cursor(file, row - rest.num_rows, cursor.rows + count)
                yield page_of(table.slice(0, count), cursor, bytes_read)
                # By its share of the rows: `nbytes` of a slice of views, or of a dictionary, is that of them all.
                weight = weight * rest.num_rows // rows
                tables, rows, rows_before, bytes_read = [rest], rest.num_rows, 0, 0
        if rows:
            yield page_of(pa.concat_tables(tables), Cursor(len(pin.files), 0, cursor.rows + rows), bytes_read)

    def _chunks_after(self, pin: Pin, cursor: Cursor) -> Iterator[tuple[int, int, Chunk]]:
        """Yield (number of the file, its rows up to the end of the chunk, the chunk)."""
        for file in range(cursor.file, len(pin.files)):
            row = cursor.row if file == cursor.file else 0
            for chunk in self.chunks(file, pin, row):
                row += chunk.table.num_rows
                yield file, row, chunk

    def seal(self, pin: Pin) -> Pin:
        """Return the pin with the digests of what was read. Raises SourceMoved."""
        # Digest first, compare afterwards: what is replaced between the two is still noticed.
        files = tuple(replace(file, sha256=_digest(self.input_file(file))) for file in pin.files)
        self._refuse_moved(pin)
        return replace(pin, files=files)

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""
        return

    def _refuse_moved(self, pin: Pin) -> None:
        changes = self.moved(pin)
        if changes:
            listed = "".join(f"\n    {change}" for change in changes)
            raise SourceMoved(f"the source changed after it was pinned:{listed}", where=self.where())


def _difference(pinned: SourceFile, file: InputFile | None) -> str | None:
    before = FileState(pinned.size, pinned.modified_ns, pinned.etag)
    try:
        now = file.state() if file else None
    except FileNotFoundError:
        now = None
    except OSError as error:
        return f"{pinned.path}: was {_describe(before)}, cannot be looked at: {error.strerror or error}"
    if now is None:
        return f"{pinned.path}: was {_describe(before)}, is gone"
    return None if now == before else f"{pinned.path}: was {_describe(before)}, is {_describe(now)}"


def _describe(state: FileState) -> str:
    text = f"{state.size:,} bytes"
    if state.modified_ns is not None:
        modified = datetime.fromtimestamp(state.modified_ns / 1e9, UTC).isoformat(timespec="microseconds")
        text += f" written {modified}"
    return f"{text} ({state.etag})" if state.etag else text


def _digest(file: InputFile) -> str | None:
    try:
        return file.digest()
    except OSError:
        return None  # it moved: the comparison that follows says so
