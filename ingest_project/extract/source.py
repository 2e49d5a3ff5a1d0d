"""What a source is, so that each further kind is one file: it can be pinned, read in pages, and sealed."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

# Columns of ours in every page: the row's number in the source, and the text of a row that cannot be split.
ROW = "__row"
MALFORMED = "__malformed"
# A column of sources without a header: what turned up after the columns were decided, as one JSON object a row.
MORE = "__more"
# Of a page, or nearly, whatever rows are asked for: what is made of its text must stay below 2 GiB, as Arrow has it.
MOST_BYTES = 32 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file as it was when it was looked at; size in bytes as stored, the digest is known once it has been read.

    What its store does not say is None: the time of many web servers, the ETag of all local files.
    """

    path: str
    size: int
    modified_ns: int | None
    sha256: str | None = None
    etag: str | None = None


@dataclass(frozen=True)
class RelationState:
    """The one state of a relation that was, or is being, read.

    `taken_at` (ISO 8601) and `snapshot` (xmin:xmax:xip) are its server's; `types` those of the columns; `until` is
    the greatest value of a declared cursor, as text; `rows` is known once all are read.
    """

    taken_at: str
    snapshot: str
    types: Sequence[str]
    until: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Pin:
    """What is going to be read: the files in reading order, and the columns that each page has.

    A relation is stored as one file, with the snapshot as its ETag, and in `relation`. `late` are declared columns that
    JSON may still have: no row that was looked at has them.
    """

    format: str
    files: tuple[SourceFile, ...]
    columns: tuple[str, ...]
    estimated_rows: int | None
    relation: RelationState | None = None
    late: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` takes."""
        stored = {
            **asdict(self),
            "files": [asdict(file) for file in self.files],
            "columns": list(self.columns),
            "late": list(self.late),
        }
        return stored if self.relation else {name: value for name, value in stored.items() if name != "relation"}

    @property
    def header(self) -> tuple[str, ...]:
        """The columns that were seen in the source itself."""
        return tuple(name for name in self.columns if name != MORE and name not in self.late)

    @property
    def written_at(self) -> datetime | None:
        """When the newest of the files was written, where their store says that."""
        times = [file.modified_ns for file in self.files if file.modified_ns is not None]
        return datetime.fromtimestamp(max(times) / 1e9, UTC) if times else None

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Pin":
        """Restore a pin that was stored as JSON."""
        files = tuple(SourceFile(**file) for file in given["files"])
        relation: dict[str, Any] | None = given.get("relation")
        state = RelationState(**relation) if relation else None
        columns, late = tuple(given["columns"]), tuple(given.get("late", ()))
        return cls(given["format"], files, columns, given["estimated_rows"], state, late)


@dataclass(frozen=True)
class Cursor:
    """Where reading goes on: `row` rows of file number `file` are taken, `rows` of the whole source.

    `after` is the value of a relation's cursor in the last row, as text.
    """

    file: int
    row: int
    rows: int
    after: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` takes."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Cursor":
        """Restore a cursor that was stored as JSON."""
        return cls(**given)


@dataclass(frozen=True)
class Page:
    """A bounded batch of rows as read, and the cursor after it.

    `table` has the source's columns in the order of the pin, then `__row` (int64, from 1, over the whole
    source) and `__malformed` (string: the text of a row that cannot be split, null for good rows).
    `bytes_read` were taken from the files for it: whole blocks or row groups, so that a page drawn from the
    block before says 0.
    """

    table: pa.Table
    cursor: Cursor
    bytes_read: int


class Source(Protocol):
    """A place that data comes from. Every method raises the Refused errors."""

    @property
    def resumes(self) -> bool:
        """Whether pages go on after a cursor in another process; where not, all of it is pinned and read anew."""
        ...

    def pin(self) -> Pin:
        """Look at all of it before anything is read."""
        ...

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows going on after a cursor: fewer at the end, and of rows that weigh MOST_BYTES.

        Raises SourceMoved.
        """
        ...

    def seal(self, pin: Pin) -> Pin:
        """After the last page: return the pin with the digests of what was read. Raises SourceMoved."""
        ...

    def moved(self, pin: Pin) -> list[str]:
        """Say what is different now, one line a file; empty where nothing is, or nothing can be known."""
        ...

    def close(self) -> None:
        """Let go of what is held open between these."""
        ...


def page_of(table: pa.Table, after: Cursor, bytes_read: int) -> Page:
    """The page that ends at a cursor: its rows numbered, `__malformed` the last column."""
    rows = pa.array(np.arange(after.rows - table.num_rows + 1, after.rows + 1, dtype=np.int64))
    malformed = table[MALFORMED]
    table = table.drop_columns([MALFORMED]).append_column(ROW, rows).append_column(MALFORMED, malformed)
    return Page(table.combine_chunks(), after, bytes_read)


@dataclass
class ReadMetrics:
    """What reading took; filled while pages are drawn. `seconds` leaves out what is done with the pages."""

    pages: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    page_seconds: list[float] = field(default_factory=list[float])

    @property
    def page_p95_seconds(self) -> float:
        """Of a hundred pages, ninety-five were drawn in so many seconds or fewer."""
        if len(self.page_seconds) < 2:  # noqa: PLR2004 - quantiles are between two
            return max(self.page_seconds, default=0.0)
        return statistics.quantiles(self.page_seconds, n=20, method="inclusive")[-1]


def measured(pages: Iterator[Page], metrics: ReadMetrics) -> Iterator[Page]:
    """Pass the pages on, counted."""
    began = time.monotonic()
    for page in pages:
        seconds = time.monotonic() - began
        metrics.pages += 1
        metrics.rows += page.table.num_rows
        metrics.bytes += page.bytes_read
        metrics.seconds += seconds
        metrics.page_seconds.append(seconds)
        yield page
        began = time.monotonic()
