"""Some rows from all over an activation's normalized parts, for pictures: whatever its size, a bounded look."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

import pyarrow as pa

from ingest_project.branches.work import Work
from ingest_project.errors import PartDamaged
from ingest_project.extract.manifest import ListedPart, listed_parts
from ingest_project.extract.store import PartStore
from ingest_project.item import item_schema
from ingest_project.normalize.normalized import ASSET

PARTS = 8
T = TypeVar("T")


def sampled(work: Work, store: PartStore, names: Sequence[str], rows: int) -> pa.Table:
    """These columns of at most `rows` rows, evenly from at most eight parts; those that lost their key among them."""
    parts = _evenly(listed_parts(work.connection, work.activation.activation_id, ASSET), PARTS)
    share = rows // len(parts) if parts else 0
    empty = pa.schema([item_schema().field(name) for name in names]).empty_table()
    return pa.concat_tables([empty, *_thinned(store, parts, names, share)])


def _thinned(store: PartStore, parts: list[ListedPart], names: Sequence[str], rows: int) -> Iterator[pa.Table]:
    for part in parts:
        with suppress(PartDamaged):  # of an activation that is done they may be deleted; a picture is no reason to fail
            table = store.get(part.path, columns=list(names))
            yield table.take(pa.array(_evenly(range(table.num_rows), rows), pa.int64()))


def _evenly(found: Sequence[T], count: int) -> list[T]:
    if len(found) <= count:
        return list(found)
    return [found[at * len(found) // count] for at in range(count)]
