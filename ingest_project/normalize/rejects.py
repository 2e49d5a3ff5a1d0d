"""Rows that are kept aside: what they said, and why they are no items."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.normalize.cells import as_json, plain
from ingest_project.normalize.columns import shown, to_json
from ingest_project.normalize.text import storable

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
    numbers = rows.column("__row" if "__row" in page.column_names else "row").to_pylist()
    raws = _raw_rows(rows).to_pylist()
    made = zip(numbers, keys, errors, raws, strict=True)
    return [Reject(row, key, found, raw[:RAW_CAP], len(raw) > RAW_CAP) for row, key, found, raw in made]


def _raw_rows(rows: pa.Table) -> pa.Array:
    """Each row as a JSON object in UTF-8, columns in source order; a malformed line under its own name."""
    fragments: list[pa.Array] = []
    for at, name in enumerate(rows.column_names):
        if name == "__row" or (name == "__malformed" and rows.column(at).null_count == rows.num_rows):
            continue
        found, _ = as_json(plain(rows.column(at), whole=True)[0], name)
        fragments.append(pc.binary_join_element_wise(f"{to_json(storable(name))}:", pc.fill_null(found, "null"), ""))
    if not fragments:
        return pa.array([b"{}"] * rows.num_rows)
    joined = pc.binary_join_element_wise(*fragments, ",")
    return pc.binary_join_element_wise("{", joined, "}", "").cast(pa.binary())
