"""What files have in common: pinned by size and time, cut into pages, sealed by digest."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import ClassVar

import pyarrow as pa

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceEmpty, SourceMoved, SourceUnreadable, first_line
from ingest_project.extract.place import Facts, Place
from ingest_project.extract.source import MALFORMED, MORE, MOST_BYTES, ROW, Cursor, Page, Pin, SourceFile, page_of


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
class Files(ABC):
    """Files read one after the other; pages may span them."""

    spec: BranchSpec
    places: tuple[Place, ...]
    format: ClassVar[str]

    @abstractmethod
    def head(self, place: Place) -> Head:
        """Look at the header or footer of one file. Raises SourceUnreadable."""

    @abstractmethod
    def estimate(self, sizes: list[int]) -> int | None:
        """Say how many rows there are, about, without reading them all."""

    @abstractmethod
    def chunks(self, file: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the rows of one file in order, but for the first `skip`, in chunks of the reader's choice."""

    @property
    def resumes(self) -> bool:
        """Yes: a file that has not moved is read on."""
        return True

    def pin(self) -> Pin:
        """Look at every file. Raises SourceEmpty, SourceUnreadable, ColumnsMissing."""
        files = tuple(self._look(place) for place in self.places)
        heads = [self.head(place) for place in self.places]
        columns = self._common_columns(heads)
        if not any(head.has_rows for head in heads):
            names = ", ".join(place.name for place in self.places[:5])
            has = "has columns, and" if columns else "has"
            raise SourceEmpty(f"the source {has} no rows: {names}", where=self.where())
        seen = {MORE}.union(*(head.columns for head in heads))
        late = tuple(name for name in columns if name not in seen)
        return Pin(self.format, files, columns, self.estimate([file.size for file in files]), late=late)

    def where(self, place: Place | None = None) -> dict[str, object]:
        """Say where an error is."""
        at = {"file": place.key} if place else {"location": self.spec.location}
        return {"branch": self.spec.name, **at}

    def place(self, file: SourceFile) -> Place:
        """Find a pinned file. Raises SourceMoved where the location has it no more."""
        found = self._by_key.get(file.path)
        if found is None:
            raise SourceMoved(f"the source changed after it was pinned: {file.path} is gone", where=self.where())
        return found

    def unreadable(self, place: Place, error: object) -> SourceUnreadable:
        """Put an error of the reader into our words."""
        words = f"the file cannot be read as {self.format}: {first_line(error)}"
        return SourceUnreadable(words, where=self.where(place))

    @cached_property
    def _by_key(self) -> dict[str, Place]:
        return {place.key: place for place in self.places}

    def _look(self, place: Place) -> SourceFile:
        try:
            facts = place.look()
        except OSError as error:
            why = f"the file cannot be read: {error.strerror or error}"
            raise SourceUnreadable(why, where=self.where(place)) from None
        if facts.size == 0:
            raise SourceEmpty("the file is empty: zero bytes", where=self.where(place))
        return SourceFile(place.key, facts.size, facts.modified_ns, etag=facts.etag)

    def _common_columns(self, heads: list[Head]) -> tuple[str, ...]:
        first = heads[0].columns
        for place, head in zip(self.places, heads, strict=True):
            self._refuse_bad_names(place, head.columns)
            if set(head.columns) != set(first):
                raise self._differing(place, head.columns, first)
        return first

    def _refuse_bad_names(self, place: Place, columns: tuple[str, ...]) -> None:
        twice = sorted({repr(name) for name in columns if columns.count(name) > 1})
        if twice:
            why = f"the file names a column more than once: {', '.join(twice)}"
            raise SourceUnreadable(why, where=self.where(place))
        if any("\0" in name for name in columns):
            why = "the file has a column with the character NUL in its name, which Postgres cannot store"
            raise SourceUnreadable(why, where=self.where(place), todo="Rename the column in the source.")
        ours = sorted({ROW, MALFORMED, MORE} & set(columns))
        if ours:
            why = f"the file has a column {' and '.join(ours)}: a name that pages keep for themselves"
            raise SourceUnreadable(why, where=self.where(place), todo="Rename the column in the source.")

    def _differing(self, place: Place, columns: tuple[str, ...], first: tuple[str, ...]) -> Exception:
        both = f"{self.places[0].name}: {', '.join(first)}\n    {place.name}: {', '.join(columns)}"
        declared = self.spec.declared_columns()
        missing = [name for name in declared if name in first and name not in columns]
        if missing:
            words = f"the file {place.name} has no column {', '.join(map(repr, missing))}:\n    {both}"
            return ColumnsMissing(words, where=self.where(place))
        return SourceUnreadable(f"the files of the branch have different columns:\n    {both}", where=self.where(place))

    def moved(self, pin: Pin) -> list[str]:
        """Say what is different now, one line a file; a new file counts."""
        known = {file.path for file in pin.files}
        new = [f"{key}: was not there, is new" for key in self._by_key if key not in known]
        return new + [words for file in pin.files if (words := _difference(file, self._by_key.get(file.path)))]

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows, or of MOST_BYTES. Raises SourceMoved, SourceUnreadable."""
        self._refuse_moved(pin)
        try:
            yield from self._pages(pin, size, after or Cursor(0, 0, 0))
        except SourceUnreadable:
            # A file that is replaced while it is read may break its reader first; say what really happened.
            self._refuse_moved(pin)
            raise

    def _pages(self, pin: Pin, size: int, at: Cursor) -> Iterator[Page]:
        held: list[pa.Table] = []
        count = weight = taken = 0
        for file, row, chunk in self._chunks_after(pin, at):
            before = count  # never cut in two: a cursor is a place in the file at hand
            held.append(chunk.table)
            count += chunk.table.num_rows
            weight += chunk.table.nbytes
            taken += chunk.bytes_read
            while count >= size or (count and weight >= MOST_BYTES):
                rows = min(size, max(before, 1, count * MOST_BYTES // max(weight, MOST_BYTES)))
                whole = pa.concat_tables(held)
                rest = whole.slice(rows)
                at = Cursor(file, row - rest.num_rows, at.rows + rows)
                yield page_of(whole.slice(0, rows), at, taken)
                # A share: what is left of a column of views, or of a dictionary, weighs as much as all of it.
                weight = weight * rest.num_rows // count
                held, count, before, taken = [rest], rest.num_rows, 0, 0
        if count:
            yield page_of(pa.concat_tables(held), Cursor(len(pin.files), 0, at.rows + count), taken)

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
        files = tuple(replace(file, sha256=_digest(self.place(file))) for file in pin.files)
        self._refuse_moved(pin)
        return replace(pin, files=files)

    def close(self) -> None:
        """Do nothing: files are open while they are read."""
        return

    def _refuse_moved(self, pin: Pin) -> None:
        changes = self.moved(pin)
        if changes:
            listed = "".join(f"\n    {change}" for change in changes)
            raise SourceMoved(f"the source changed after it was pinned:{listed}", where=self.where())


def _difference(file: SourceFile, place: Place | None) -> str | None:
    was = Facts(file.size, file.modified_ns, file.etag)
    try:
        facts = place.look() if place else None
    except FileNotFoundError:
        facts = None
    except OSError as error:
        return f"{file.path}: was {_shown(was)}, cannot be looked at: {error.strerror or error}"
    if facts is None:
        return f"{file.path}: was {_shown(was)}, is gone"
    return None if facts == was else f"{file.path}: was {_shown(was)}, is {_shown(facts)}"


def _shown(facts: Facts) -> str:
    words = f"{facts.size:,} bytes"
    if facts.modified_ns is not None:
        moment = datetime.fromtimestamp(facts.modified_ns / 1e9, UTC).isoformat(timespec="microseconds")
        words += f" written {moment}"
    return f"{words} ({facts.etag})" if facts.etag else words


def _digest(place: Place) -> str | None:
    try:
        return place.digest()
    except OSError:
        return None  # moved: the check behind this says so
