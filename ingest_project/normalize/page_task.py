"""The task of a worker (a thread or a process): make one part of the snapshot into a normalized part."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.errors import PartDamaged
from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.source import ROW
from ingest_project.extract.store import PartStore, StoredPart
from ingest_project.normalize.carry import Carried, CarriedRejects
from ingest_project.normalize.columns import as_array
from ingest_project.normalize.part import NormalizedPart
from ingest_project.normalize.rejects import Reject
from ingest_project.telemetry import log

Normalize = Callable[[pa.Table], NormalizedPart]


@dataclass(frozen=True)
class PageTask:
    """A part of the snapshot, the key under which its items are stored, and what is carried from the baseline.

    `loaded` is the content of the part, if it has been read already.
    """

    store: PartStore
    page: ListedPart
    key: str
    carried: Carried | None
    loaded: pa.Table | None = None


@dataclass(frozen=True)
class PartResult:
    """A normalized part that is stored but not listed yet, and its rejects; `carried` is the number of carried rows."""

    page: ListedPart
    stored: StoredPart
    rejects: list[Reject]
    carried: int = 0
    carried_rejects: CarriedRejects | None = None

    @property
    def rejected(self) -> int:
        """The number of rejects, carried ones included."""
        return len(self.rejects) + (self.carried_rejects.count if self.carried_rejects else 0)


def run_task(normalize: Normalize, task: PageTask) -> PartResult:
    """Read a page, normalize its rows except those that are carried, and store the items."""
    if task.carried is not None:
        try:
            if task.carried.rows is None:
                return _carry_whole(task, task.carried)
            return _carry_rows(normalize, task, task.carried.rows, task.carried.items)
        except PartDamaged as error:
            log.warning("part %d is normalized anew: %s", task.page.part, error.what)
    normalized = normalize(_load(task))
    return PartResult(task.page, task.store.put(task.key, normalized.items), normalized.rejects)


def _load(task: PageTask) -> pa.Table:
    if task.loaded is not None:
        return task.loaded
    return task.store.get(task.page.path, task.page.digest)


def _carry_whole(task: PageTask, carried: Carried) -> PartResult:
    ((base_part, items),) = carried.items.items()
    stored = task.store.copy(items.path, items.digest, items.rows, task.key)
    rejected = task.page.rows - items.rows
    rejects = CarriedRejects(None, base_part, rejected) if rejected else None
    return PartResult(task.page, stored, [], task.page.rows, rejects)


def _carry_rows(
    normalize: Normalize, task: PageTask, rows: pa.Table, base_items: Mapping[int, ListedPart]
) -> PartResult:
    page = _load(task)
    fresh = normalize(page.filter(pc.invert(pc.is_in(page[ROW], as_array(rows["row"])))))
    selections = [_Selection(fresh.items, np.arange(fresh.items.num_rows), fresh.items["row"].to_numpy())]
    rejected: list[pa.Table] = []
    for base_part, listed in base_items.items():
        selection, rejects = _select(task.store, rows.filter(pc.equal(rows["base_part"], base_part)), listed)
        selections.append(selection)
        rejected.append(rejects)
    items, rejects = _merge(selections), pa.concat_tables(rejected)
    carried_rejects = CarriedRejects(rejects, None, rejects.num_rows) if rejects.num_rows else None
    return PartResult(task.page, task.store.put(task.key, items), fresh.rejects, rows.num_rows, carried_rejects)


@dataclass(frozen=True)
class _Selection:
    """The items at some indices of a table, and their row numbers in the new part."""

    items: pa.Table
    indices: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    row_numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]"


def _select(store: PartStore, rows: pa.Table, listed: ListedPart) -> tuple[_Selection, pa.Table]:
    """The items of a part of the baseline that are carried, and the carried rows that are rejects there."""
    items = store.get(listed.path, listed.digest)
    index = pc.index_in(as_array(rows["base_row"]), as_array(items["row"]))
    is_item = pc.is_valid(index)
    indices = np.asarray(index.filter(is_item)).astype(np.int64)
    return _Selection(items, indices, np.asarray(rows["row"].filter(is_item))), rows.filter(pc.invert(is_item))


def _merge(selections: Sequence[_Selection]) -> pa.Table:
    """All selected items, ordered by row number; one `take` copies each column once."""
    firsts = np.cumsum([0, *(selection.items.num_rows for selection in selections)])[:-1]
    indices = np.concatenate([selection.indices + first for selection, first in zip(selections, firsts, strict=True)])
    row_numbers = np.concatenate([selection.row_numbers for selection in selections])
    order = np.argsort(row_numbers, kind="stable")
    items = pa.concat_tables([selection.items for selection in selections]).combine_chunks()
    merged = items.take(pa.array(indices[order]))
    return merged.set_column(merged.column_names.index("row"), merged.field("row"), pa.array(row_numbers[order]))
