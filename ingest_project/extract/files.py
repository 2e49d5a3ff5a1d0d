"""What local files have in common, whatever is in them: pinned by size and time, sealed by digest, cut into pages."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SourceEmpty, SourceMoved, SourceUnreadable
from ingest_project.extract.source import MALFORMED, ROW, Cursor, Page, Pin, SourceFile

_CHUNK = 1 << 20


@dataclass(frozen=True)
class LocalFiles(ABC):
    """Files read one after the other; pages may span them."""

    spec: BranchSpec
    paths: list[Path]
    format = ""

    @abstractmethod
    def columns_of(self, path: Path) -> list[str]:
        """The column names of one file. Raises SourceUnreadable."""

    @abstractmethod
    def has_rows(self, path: Path) -> bool:
        """Whether there is anything below the header."""

    @abstractmethod
    def estimate(self) -> int | None:
        """How many rows there are, about, without reading them all."""

    @abstractmethod
    def tables(self, path: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        """The rows of one file in order: `columns`, then `__malformed`."""

    def pin(self) -> Pin:
        files = tuple(self._look(path) for path in self.paths)
        columns = self._common_columns()
        if not any(self.has_rows(path) for path in self.paths):
            raise SourceEmpty("the source has no rows", where=self.place())
        return Pin(self.format, files, columns, self.estimate())

    def place(self, path: Path | None = None) -> dict[str, object]:
        """Where an error is."""
        return {"branch": self.spec.name, "file": path or self.spec.location}

    def unreadable(self, path: Path, error: object) -> SourceUnreadable:
        """An error of the reader, in our words."""
        words = str(error).strip().splitlines() or ["no reason given"]
        return SourceUnreadable(f"the file cannot be read as {self.format}: {words[0]}", where=self.place(path))

    def _look(self, path: Path) -> SourceFile:
        try:
            facts = path.stat()
            with path.open("rb"):
                pass
        except OSError as error:
            raise SourceUnreadable(f"the file cannot be read: {error.strerror}", where=self.place(path)) from None
        if facts.st_size == 0:
            raise SourceEmpty("the file is empty", where=self.place(path))
        return SourceFile(str(path), facts.st_size, facts.st_mtime_ns)

    def _common_columns(self) -> tuple[str, ...]:
        first = self._checked_columns(self.paths[0])
        for path in self.paths[1:]:
            columns = self._checked_columns(path)
            if set(columns) != set(first):
                raise SourceUnreadable(
                    f"the files have different columns:\n    {self.paths[0].name}: {', '.join(first)}"
                    f"\n    {path.name}: {', '.join(columns)}",
                    where=self.place(path),
                )
        return tuple(first)

    def _checked_columns(self, path: Path) -> list[str]:
        columns = self.columns_of(path)
        twice = sorted({name for name in columns if columns.count(name) > 1} | ({ROW, MALFORMED} & set(columns)))
        if twice:
            raise SourceUnreadable(
                f"column names must be unique, and not {ROW} or {MALFORMED}: {', '.join(twice)}",
                where=self.place(path),
            )
        return columns

    def moved(self, pin: Pin) -> list[str]:
        now = {str(path): path for path in self.paths}
        changes = [f"{path} is new" for path in sorted(set(now) - {file.path for file in pin.files})]
        return changes + [words for file in pin.files if (words := _difference(file))]

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        self._refuse_moved(pin)
        at = after or Cursor(0, 0, 0)
        held: list[pa.Table] = []
        count = 0
        for file, row, table in self._tables_after(pin, at):
            held.append(table)
            count += table.num_rows
            while count >= size:
                whole = pa.concat_tables(held, promote_options="permissive")
                page, rest = whole.slice(0, size), whole.slice(size)
                at = Cursor(file, row - rest.num_rows, at.rows + size)
                yield _page(page, at)
                held, count = ([rest] if rest.num_rows else []), rest.num_rows
        if count:
            last = pa.concat_tables(held, promote_options="permissive")
            yield _page(last, Cursor(len(pin.files), 0, at.rows + count))

    def _tables_after(self, pin: Pin, at: Cursor) -> Iterator[tuple[int, int, pa.Table]]:
        # (file, rows of it up to here, table): what is before the cursor is read and dropped.
        for file in range(at.file, len(pin.files)):
            skip = at.row if file == at.file else 0
            row = 0
            for table in self.tables(Path(pin.files[file].path), pin.columns):
                row += table.num_rows
                if row > skip:
                    yield file, row, table.slice(max(0, table.num_rows - (row - skip)))

    def seal(self, pin: Pin) -> Pin:
        sealed = replace(pin, files=tuple(replace(file, sha256=_digest(Path(file.path))) for file in pin.files))
        self._refuse_moved(pin)
        return sealed

    def _refuse_moved(self, pin: Pin) -> None:
        changes = self.moved(pin)
        if changes:
            raise SourceMoved(f"the source changed after it was pinned: {'; '.join(changes)}", where=self.place())


def _page(table: pa.Table, after: Cursor) -> Page:
    first = after.rows - table.num_rows + 1
    rows = pa.array(range(first, after.rows + 1), pa.int64())
    columns = table.drop_columns([MALFORMED]).append_column(ROW, rows)
    return Page(columns.append_column(MALFORMED, table[MALFORMED]).combine_chunks(), after)


def _difference(file: SourceFile) -> str | None:
    try:
        facts = Path(file.path).stat()
    except OSError:
        return f"{file.path} is gone"
    if (facts.st_size, facts.st_mtime_ns) == (file.size, file.modified_ns):
        return None
    return f"{file.path} had {file.size:,} bytes and has {facts.st_size:,}, or was written again"


def _digest(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return None  # moved: the check behind this says so
    return digest.hexdigest()
