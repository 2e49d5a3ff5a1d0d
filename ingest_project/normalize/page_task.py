"""One part of the snapshot made into a normalized part: the task of a worker, thread or process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.errors import PartDamaged
from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.source import ROW
from ingest_project.extract.store import PartStore, StoredPart
from ingest_project.normalize.carry import Carried, CarriedRejects
from ingest_project.normalize.columns import as_one
from ingest_project.normalize.part import NormalizedPart
from ingest_project.normalize.rejects import Reject
from ingest_project.telemetry import log

Rule = Callable[[pa.Table], NormalizedPart]


@dataclass(frozen=True)
class PageTask:
    """A part of the snapshot, the key under which its items are stored, and what it takes from the baseline.

    `loaded` is the part itself, where it was looked into already.
    """

    store: PartStore
    page: ListedPart
    key: str
    carried: Carried | None
    loaded: pa.Table | None = None


@dataclass(frozen=True)
class MadePart:
    """Items that are stored but not listed yet, and the rejects beside them; `carried` counts the rows of both."""

    page: ListedPart
    stored: StoredPart
    rejects: list[Reject]
    carried: int = 0
    carried_rejects: CarriedRejects | None = None

    @property
    def rejected(self) -> int:
        """Rows set aside, anew or carried."""
        return len(self.rejects) + (self.carried_rejects.count if self.carried_rejects else 0)


def make_part(rule: Rule, task: PageTask) -> MadePart:
    """Read a page, normalize what is new in it, store its items."""
    if task.carried is not None:
        try:
            return _taken_over(task, task.carried) if task.carried.rows is None else _merged(rule, task, task.carried)
        except PartDamaged as error:
            log.warning("part %d is normalized anew: %s", task.page.part, error.what)
    normalized = rule(_page(task))
    return MadePart(task.page, task.store.put(task.key, normalized.items), normalized.rejects)


def _page(task: PageTask) -> pa.Table:
    if task.loaded is not None:
        return task.loaded
    return task.store.get(task.page.path, task.page.digest)


def _taken_over(task: PageTask, carried: Carried) -> MadePart:
    ((base_part, items),) = carried.items.items()
    stored = task.store.copy(items.path, items.digest, items.rows, task.key)
    rejected = task.page.rows - items.rows
    rejects = CarriedRejects(None, base_part, rejected) if rejected else None
    return MadePart(task.page, stored, [], task.page.rows, rejects)


def _merged(rule: Rule, task: PageTask, carried: Carried) -> MadePart:
    rows = carried.rows
    assert rows is not None
    page = _page(task)
    fresh = rule(page.filter(pc.invert(pc.is_in(page[ROW], as_one(rows["row"])))))
    pieces = [_Piece(fresh.items, np.arange(fresh.items.num_rows), fresh.items["row"].to_numpy())]
    missing: list[pa.Table] = []
    for base_part, listed in carried.items.items():
        piece, gone = _taken(task.store, rows.filter(pc.equal(rows["base_part"], base_part)), listed)
        pieces.append(piece)
        missing.append(gone)
    items, gone = _in_order(pieces), pa.concat_tables(missing)
    rejects = CarriedRejects(gone, None, gone.num_rows) if gone.num_rows else None
    return MadePart(task.page, task.store.put(task.key, items), fresh.rejects, rows.num_rows, rejects)


@dataclass(frozen=True)
class _Piece:
    """Items, which of them are taken, and the row numbers that these have now."""

    items: pa.Table
    places: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]"


def _taken(store: PartStore, rows: pa.Table, listed: ListedPart) -> tuple[_Piece, pa.Table]:
    """What a part of the baseline gives, and the rows that are no items there: rejects."""
    items = store.get(listed.path, listed.digest)
    at = pc.index_in(as_one(rows["base_row"]), as_one(items["row"]))
    there = pc.is_valid(at)
    places = np.asarray(at.filter(there)).astype(np.int64)
    return _Piece(items, places, np.asarray(rows["row"].filter(there))), rows.filter(pc.invert(there))


def _in_order(pieces: Sequence[_Piece]) -> pa.Table:
    """All that is taken, by its new number: every column is moved once."""
    firsts = np.cumsum([0, *(piece.items.num_rows for piece in pieces)])
    places = np.concatenate([piece.places + first for piece, first in zip(pieces, firsts[:-1], strict=True)])
    numbers = np.concatenate([piece.numbers for piece in pieces])
    order = np.argsort(numbers, kind="stable")
    whole = pa.concat_tables([piece.items for piece in pieces]).combine_chunks().take(pa.array(places[order]))
    return whole.set_column(whole.column_names.index("row"), whole.field("row"), pa.array(numbers[order]))
