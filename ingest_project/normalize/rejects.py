"""Rows that are kept aside: what they said, and why they are no items."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.extract.source import MALFORMED, MORE, ROW
from ingest_project.normalize.cells import as_json, plain
from ingest_project.normalize.columns import shown, storable, to_json

RAW_CAP = 65_536


@dataclass(frozen=True)
class Reject:
    """One row of the source that is no item. `errors` are [{field, code, message}], safe for jsonb."""

    row: int
    external_id: str | None
    errors: list[dict[str, str]]
    raw: bytes
    raw_truncated: bool


def error_of(field: str, code: str, message: str) -> dict[str, str]:
    """One reason why a row is no item, safe for jsonb."""
    return {"field": storable(field), "code": code, "message": shown(message) or ""}


def rejects_of(
    page: pa.Table,
    positions: Sequence[int],
    keys: Sequence[str | None],
    errors: Sequence[list[dict[str, str]]],
) -> list[Reject]:
    """Rejects of these rows, in the order given."""
    rows = page.take(pa.array(positions, pa.int64()))
    numbers = rows.column(ROW if ROW in page.column_names else "row").to_pylist()
    raws = _raw_rows(rows).to_pylist()
    made = zip(numbers, keys, errors, raws, strict=True)
    return [Reject(row, key, found, raw[:RAW_CAP], len(raw) > RAW_CAP) for row, key, found, raw in made]


def _raw_rows(rows: pa.Table) -> pa.Array:
    """Each row as a JSON object in UTF-8, columns in source order; those of ours only where they say something."""
    fragments = [pa.nulls(rows.num_rows, pa.string())]
    for at, name in enumerate(rows.column_names):
        if name == ROW:
            continue
        found, _ = as_json(plain(rows.column(at), whole=True)[0], name)
        found = found if name in (MALFORMED, MORE) else pc.fill_null(found, "null")
        fragments.append(pc.binary_join_element_wise(f"{to_json(storable(name))}:", found, ""))
    joined = pc.binary_join_element_wise(*fragments, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", joined, "}", "").cast(pa.binary())
