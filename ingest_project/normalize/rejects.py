"""Rejects: rows that are no items, with their raw values and the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.extract.source import MALFORMED, MORE, ROW
from ingest_project.normalize.cells import as_json, decode
from ingest_project.normalize.columns import excerpt, storable, to_json

RAW_CAP = 65_536


@dataclass(frozen=True)
class Reject:
    """One row of the source that is no item. `errors` are [{field, code, message}], which jsonb accepts."""

    row: int
    external_id: str | None
    errors: list[dict[str, str]]
    raw: bytes
    raw_truncated: bool


def error_of(field: str, code: str, message: str) -> dict[str, str]:
    """One reason why a row is no item."""
    return {"field": storable(field), "code": code, "message": excerpt(message) or ""}


def rejects_of(
    page: pa.Table,
    positions: Sequence[int],
    keys: Sequence[str | None],
    errors: Sequence[list[dict[str, str]]],
) -> list[Reject]:
    """The rejects of the rows of a page at these positions."""
    rows = page.take(pa.array(positions, pa.int64()))
    numbers = rows.column(ROW if ROW in page.column_names else "row").to_pylist()
    raws = _raw_rows(rows).to_pylist()
    return [
        Reject(row, key, row_errors, raw[:RAW_CAP], len(raw) > RAW_CAP)
        for row, key, row_errors, raw in zip(numbers, keys, errors, raws, strict=True)
    ]


def _raw_rows(rows: pa.Table) -> pa.Array:
    """Each row as a JSON object in UTF-8, columns in source order; `__malformed` and `__more` only if not null."""
    fragments = [pa.nulls(rows.num_rows, pa.string())]
    for index, name in enumerate(rows.column_names):
        if name == ROW:
            continue
        values, _ = as_json(decode(rows.column(index), lossless=True)[0], name)
        values = values if name in (MALFORMED, MORE) else pc.fill_null(values, "null")
        fragments.append(pc.binary_join_element_wise(f"{to_json(storable(name))}:", values, ""))
    joined = pc.binary_join_element_wise(*fragments, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", joined, "}", "").cast(pa.binary())
