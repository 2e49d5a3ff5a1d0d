"""A sample of the normalized rows of an activation, for charts: of bounded size and cost."""

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


def sample_rows(work: Work, store: PartStore, names: Sequence[str], rows: int) -> pa.Table:
    """These columns of at most `rows` rows, evenly from at most `PARTS` parts; rows with duplicate keys included."""
    parts = _pick_evenly(listed_parts(work.connection, work.activation.activation_id, ASSET), PARTS)
    rows_per_part = rows // len(parts) if parts else 0
    empty = pa.schema([item_schema().field(name) for name in names]).empty_table()
    return pa.concat_tables([empty, *_sample_parts(store, parts, names, rows_per_part)])


def _sample_parts(store: PartStore, parts: list[ListedPart], names: Sequence[str], rows: int) -> Iterator[pa.Table]:
    for part in parts:
        with suppress(PartDamaged):  # old parts may have been deleted, which must not fail a run
            table = store.get(part.path, columns=list(names))
            yield table.take(pa.array(_pick_evenly(range(table.num_rows), rows), pa.int64()))


def _pick_evenly(values: Sequence[T], count: int) -> list[T]:
    if len(values) <= count:
        return list(values)
    return [values[nth * len(values) // count] for nth in range(count)]
