"""What a source is, so that each further kind is one file: it can be pinned, read in pages, and sealed."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa

from ingest_project.branches.spec import BranchSpec

# Columns of ours in every page: the row's number in the source, and the text of a line that cannot be split.
ROW = "__row"
MALFORMED = "__malformed"


@dataclass(frozen=True)
class SourceFile:
    """One file as it was when it was looked at; the digest is known once it has been read."""

    path: str
    size: int
    modified_ns: int
    sha256: str | None = None


@dataclass(frozen=True)
class Pin:
    """What is going to be read."""

    format: str
    files: tuple[SourceFile, ...]
    columns: tuple[str, ...]
    estimated_rows: int | None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "files": [asdict(file) for file in self.files], "columns": list(self.columns)}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Pin":
        files = tuple(SourceFile(**file) for file in given["files"])
        return cls(given["format"], files, tuple(given["columns"]), given["estimated_rows"])


@dataclass(frozen=True)
class Cursor:
    """Where reading goes on: `row` rows of file number `file` are taken, `rows` of the whole source."""

    file: int
    row: int
    rows: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: dict[str, int]) -> "Cursor":
        return cls(**given)


@dataclass(frozen=True)
class Page:
    """A bounded batch of rows as read: the source's columns, then `__row` and `__malformed`."""

    table: pa.Table
    cursor: Cursor


class Source(Protocol):
    """A place that data comes from. Every method raises the Refused errors."""

    def pin(self) -> Pin:
        """Look at all of it before anything is read."""
        ...

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Pages of `size` rows, the last one fewer, going on after a cursor. Raises SourceMoved."""
        ...

    def seal(self, pin: Pin) -> Pin:
        """After the last page: the pin with the digests of what was read. Raises SourceMoved."""
        ...

    def moved(self, pin: Pin) -> list[str]:
        """What is different now, in words; empty where nothing is."""
        ...


@dataclass
class ReadMetrics:
    """What reading took; filled while pages are drawn."""

    pages: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    slowest_page_seconds: float = 0.0


def measured(pages: Iterator[Page], metrics: ReadMetrics) -> Iterator[Page]:
    """The same pages, counted; `bytes` is their size in memory."""
    began = time.monotonic()
    for page in pages:
        seconds = time.monotonic() - began
        metrics.pages += 1
        metrics.rows += page.table.num_rows
        metrics.bytes += page.table.nbytes
        metrics.seconds += seconds
        metrics.slowest_page_seconds = max(metrics.slowest_page_seconds, seconds)
        yield page
        began = time.monotonic()


def open_source(spec: BranchSpec) -> Source:
    """The source that a branch names. Raises SourceMissing, SourceUnreadable; reads nothing yet."""
    from ingest_project.extract.csv import CsvFiles
    from ingest_project.extract.location import format_of, resolve
    from ingest_project.extract.parquet import ParquetFiles

    paths = resolve(spec)
    kind = CsvFiles if format_of(spec, paths) == "csv" else ParquetFiles
    return kind(spec, paths)
