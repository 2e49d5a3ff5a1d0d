"""One part of the snapshot made into a normalized part: what a worker does, wherever it is."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.errors import PartDamaged
from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.source import ROW
from ingest_project.extract.store import PartStore, StoredPart
from ingest_project.normalize.carry import Carried, CarriedRejects
from ingest_project.normalize.part import NormalizedPart
from ingest_project.normalize.rejects import Reject
from ingest_project.telemetry import log

Rule = Callable[[pa.Table], NormalizedPart]


@dataclass(frozen=True)
class PageTask:
    """A part of the snapshot, the key under which its items are stored, and what it takes from the baseline."""

    store: PartStore
    page: ListedPart
    key: str
    carried: Carried | None


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
    taken, missing = zip(*(_taken(task.store, rows, *one) for one in carried.items.items()), strict=True)
    page = _page(task)
    fresh = rule(page.filter(pc.invert(pc.is_in(page[ROW], rows["row"].combine_chunks()))))
    items = pa.concat_tables([fresh.items, *taken]).sort_by("row").combine_chunks()
    gone = pa.concat_tables(missing)
    rejects = CarriedRejects(gone, None, gone.num_rows) if gone.num_rows else None
    return MadePart(task.page, task.store.put(task.key, items), fresh.rejects, rows.num_rows, rejects)


def _taken(store: PartStore, rows: pa.Table, base_part: int, listed: ListedPart) -> tuple[pa.Table, pa.Table]:
    """Items of a part of the baseline under the row numbers they have now, and the rows that are none: rejects."""
    rows = rows.filter(pc.equal(rows["base_part"], base_part))
    items = store.get(listed.path, listed.digest)
    at = pc.index_in(rows["base_row"].combine_chunks(), items["row"].combine_chunks())
    there = pc.is_valid(at)
    taken = items.take(at.filter(there))
    numbered = taken.set_column(taken.column_names.index("row"), taken.field("row"), rows["row"].filter(there))
    return numbered, rows.filter(pc.invert(there))
