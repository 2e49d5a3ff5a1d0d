"""Two hashes of a normalized row: `content_hash` of all it says, `embed_hash` of what a model may see.

sha256 cut to 128 bits, over a layout version and then, in declared order, each value as `<bytes>:<text>`, or `~`
for null. Unambiguous, since a length says where a value ends; the key, issues and provenance are not in it.
"""

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.item import content_fields, embeddable_fields

LAYOUT = "items/1;"
_HEX = 32


def hashes(items: pa.Table) -> tuple[pa.Array, pa.Array]:
    """(content_hash, embed_hash) of a table that has the columns of an item, and `attributes`."""
    pieces = {name: _pieces(_canonical(items.column(name))) for name in (*content_fields(), "attributes")}
    return (
        _digests([pieces[name] for name in pieces], items.num_rows),
        _digests([pieces[name] for name in embeddable_fields()], items.num_rows),
    )


def _canonical(column: pa.ChunkedArray) -> pa.Array:
    array = pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    if kinds.is_floating(array.type):
        return pa.array([None if value is None else repr(value + 0.0) for value in array.to_pylist()], pa.string())
    if kinds.is_decimal(array.type):
        # A decimal of a scale always has its point: only zeros after it are cut.
        return pc.utf8_rtrim(pc.utf8_rtrim(array.cast(pa.string()), "0"), ".")
    return array


def _pieces(array: pa.Array) -> list[pa.Array | pa.Scalar]:
    if array.null_count == len(array):
        return [pa.scalar("~")]
    lengths = pc.binary_join_element_wise(pc.binary_length(array).cast(pa.string()), ":", "")
    return [pc.fill_null(lengths, "~"), pc.fill_null(array, "")]


def _digests(pieces: Sequence[list[pa.Array | pa.Scalar]], rows: int) -> pa.Array:
    layout = pa.repeat(pa.scalar(LAYOUT), rows)
    joined = pc.binary_join_element_wise(layout, *(one for piece in pieces for one in piece), "")
    sha256 = hashlib.sha256
    return pa.array([sha256(text).hexdigest()[:_HEX] for text in joined.cast(pa.binary()).to_pylist()], pa.string())
