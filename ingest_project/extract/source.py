"""The protocol of every kind of source: it is pinned, read in pages, and sealed."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

# Columns that every page has besides the source's: the row's number, and the text of a row that cannot be split.
ROW = "__row"
MALFORMED = "__malformed"
# A column of sources without a header: the keys that came after the columns were decided, as one JSON object a row.
MORE = "__more"
# About the size of the heaviest page, however many rows are asked for: Arrow holds less than 2 GiB of text in an array.
MAX_PAGE_BYTES = 32 << 20


@dataclass(frozen=True)
class SourceFile:
    """One file as it was when it was pinned; size in bytes as stored, the digest is known once it has been read.

    What its store does not say is None: many web servers give no time, and local files have no ETag.
    """

    path: str
    size: int
    modified_ns: int | None
    sha256: str | None = None
    etag: str | None = None


@dataclass(frozen=True)
class RelationState:
    """The one state of a relation that is read.

    `taken_at` (ISO 8601) and `snapshot` (xmin:xmax:xip) are its server's; `types` are those of the columns; `until` is
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
    no row of JSON in the first megabyte has; later ones may.
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
        """The columns that are in the source itself."""
        return tuple(name for name in self.columns if name != MORE and name not in self.late)

    @property
    def written_at(self) -> datetime | None:
        """When the newest of the files was written, where their store says that."""
        times = [file.modified_ns for file in self.files if file.modified_ns is not None]
        return datetime.fromtimestamp(max(times) / 1e9, UTC) if times else None

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Pin":
        """Restore a pin that was stored as JSON."""
        files = tuple(SourceFile(**file) for file in stored["files"])
        relation: dict[str, Any] | None = stored.get("relation")
        state = RelationState(**relation) if relation else None
        columns, late = tuple(stored["columns"]), tuple(stored.get("late", ()))
        return cls(stored["format"], files, columns, stored["estimated_rows"], state, late)


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
    def from_json(cls, stored: dict[str, Any]) -> "Cursor":
        """Restore a cursor that was stored as JSON."""
        return cls(**stored)


@dataclass(frozen=True)
class Page:
    """A bounded batch of rows as read, and the cursor after it.

    `table` has the source's columns in the order of the pin, then `__row` (int64, from 1, over the whole
    source) and `__malformed` (string: the text of a row that cannot be split, null for good rows).
    `bytes_read` counts the bytes of the files read for it: whole blocks or row groups, so 0 for a page whose rows
    all came from a block read before.
    """

    table: pa.Table
    cursor: Cursor
    bytes_read: int


class Source(Protocol):
    """Where a branch's data comes from. Every method raises the Refused errors."""

    @property
    def resumes(self) -> bool:
        """Whether pages go on after a cursor in another process; where not, all of it is pinned and read anew."""
        ...

    def pin(self) -> Pin:
        """Say what is going to be read: nothing is, but for headers and footers."""
        ...

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows going on after a cursor: fewer at the end, and where they weigh MAX_PAGE_BYTES.

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
        """Release what is held open between these calls."""
        ...


def page_of(table: pa.Table, after: Cursor, bytes_read: int) -> Page:
    """The page that ends at a cursor: its rows numbered, `__malformed` the last column."""
    rows = pa.array(np.arange(after.rows - table.num_rows + 1, after.rows + 1, dtype=np.int64))
    malformed = table[MALFORMED]
    table = table.drop_columns([MALFORMED]).append_column(ROW, rows).append_column(MALFORMED, malformed)
    return Page(table.combine_chunks(), after, bytes_read)


@dataclass
class ReadMetrics:
    """What reading took, filled by `measured`; `seconds` leaves out what is done with the pages."""

    pages: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    page_seconds: list[float] = field(default_factory=list[float])

    @property
    def page_p95_seconds(self) -> float:
        """The 95th percentile of the seconds that reading a page took."""
        if len(self.page_seconds) < 2:  # noqa: PLR2004 - quantiles are between two
            return max(self.page_seconds, default=0.0)
        return statistics.quantiles(self.page_seconds, n=20, method="inclusive")[-1]


def measured(pages: Iterator[Page], metrics: ReadMetrics) -> Iterator[Page]:
    """Pass the pages on, counted in `metrics`."""
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
