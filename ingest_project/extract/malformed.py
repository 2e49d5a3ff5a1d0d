"""The column `__malformed` of a page, and the rows that have a text there: all else is null in them."""

from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa

from ingest_project.extract.source import MALFORMED

_FEW = 100


def append_malformed(table: pa.Table) -> pa.Table:
    """Give the table its column `__malformed`, null in every row: all of them are good."""
    return table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string()))


def insert_malformed(good: pa.Table, malformed: Sequence[tuple[int, str]], rows_before: int) -> pa.Table:
    """Insert rows given as (row number, text), in order.

    Numbers count good and malformed rows of the file, from 0; `rows_before` of them come before this table.
    """
    if not malformed:
        return good
    numbers = np.array([number - rows_before for number, _ in malformed])
    bad = _malformed_rows(good.schema, [text for _, text in malformed])
    if len(numbers) > _FEW:
        return _merge(good, bad, numbers)
    # For a few rows the good ones are not copied.
    starts = [0, *(numbers - np.arange(len(numbers)))]
    between = [good.slice(start, end - start) for start, end in pairwise([*starts, good.num_rows])]
    rows = (bad.slice(at, 1) for at in range(len(numbers)))
    return pa.concat_tables([between[0], *chain.from_iterable(zip(rows, between[1:], strict=True))])


def _merge(good: pa.Table, bad: pa.Table, numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pa.Table:
    total = good.num_rows + bad.num_rows
    is_bad = np.zeros(total, dtype=bool)
    is_bad[numbers] = True
    indices = np.empty(total, dtype=np.int64)
    indices[is_bad] = good.num_rows + np.arange(bad.num_rows)
    indices[~is_bad] = np.arange(good.num_rows)
    return pa.concat_tables([good, bad]).take(pa.array(indices))


def _malformed_rows(schema: pa.Schema, texts: list[str]) -> pa.Table:
    nulls = [pa.nulls(len(texts), kind) for kind in schema.types[:-1]]
    return pa.table([*nulls, pa.array(texts, pa.string())], schema=schema)
