"""One part of the snapshot made into a normalized part: what a worker does, wherever it is."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.store import PartStore, StoredPart
from ingest_project.normalize.part import NormalizedPart
from ingest_project.normalize.rejects import Reject

Rule = Callable[[pa.Table], NormalizedPart]


@dataclass(frozen=True)
class PageTask:
    """A part of the snapshot, and the key under which its items are stored."""

    store: PartStore
    page: ListedPart
    key: str


@dataclass(frozen=True)
class MadePart:
    """Items that are stored but not listed yet, and the rejects beside them."""

    page: ListedPart
    stored: StoredPart
    rejects: list[Reject]


def make_part(rule: Rule, task: PageTask) -> MadePart:
    """Read a page, normalize it, store its items."""
    normalized = rule(task.store.get(task.page.path, task.page.digest))
    return MadePart(task.page, task.store.put(task.key, normalized.items), normalized.rejects)
