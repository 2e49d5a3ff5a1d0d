"""Two hashes of a normalized row: `content_hash` of all it says, `embed_hash` of what a model may see.

sha256 cut to 128 bits, over a layout version and then, in declared order, each value as `<bytes>:<text>`, or `~`
for null. Unambiguous, since a length says where a value ends; the key, issues and provenance are not in it.
"""

import hashlib
from binascii import hexlify
from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.item import content_fields, embeddable_fields
from ingest_project.normalize.columns import accepted_pattern

LAYOUT = "items/1;"
# Below a ten-thousandth Python has an exponent, and Arrow none yet.
SHORTEST = r"^-?(?:[1-9][0-9]{0,8}\.[0-9]{0,14}[1-9]|0\.0{0,3}[1-9](?:[0-9]{0,14}[1-9])?)$"
BYTES = 16  # 128 bits
_COMMON = 4096


def hashes(items: pa.Table) -> tuple[pa.Array, pa.Array]:
    """(content_hash, embed_hash) of a table that has the columns of an item, and `attributes`."""
    pieces = {name: piece(_canonical(items.column(name))) for name in (*content_fields(), "attributes")}
    both = ([*pieces.values()], [pieces[name] for name in embeddable_fields()])
    content, embed = (as_hex(digests(LAYOUT, one, items.num_rows)) for one in both)
    return content, embed


def _canonical(column: pa.ChunkedArray) -> pa.Array:
    array = pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    if kinds.is_floating(array.type):
        return _written(pc.add(array, 0.0))
    if kinds.is_decimal(array.type):
        # A decimal of a scale always has its point: only zeros after it are cut.
        return pc.utf8_rtrim(pc.utf8_rtrim(array.cast(pa.string()), "0"), ".")
    return array


def _written(array: pa.Array) -> pa.Array:
    """Floats as Python's repr writes them, which Arrow does alike where it needs neither exponent nor `.0`."""
    texts = array.cast(pa.string())
    others = pc.and_(pc.is_valid(array), pc.invert(accepted_pattern(texts, SHORTEST)))
    if not pc.any(others).as_py():
        return texts
    return pc.replace_with_mask(texts, others, pa.array([repr(one) for one in array.filter(others).to_pylist()]))


def piece(array: pa.Array) -> pa.Array | pa.Scalar:
    """Each text, or all bytes, as `<bytes>:<text>`, or `~` for null; a column of nulls is one scalar."""
    kind = array.type
    if array.null_count == len(array):
        return pa.scalar("~").cast(kind)
    led = _lengths(array, kind)
    return pc.binary_join_element_wise(led, pc.fill_null(array, pa.scalar("").cast(kind)), pa.scalar("").cast(kind))


def _lengths(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """`<bytes>:` of each, or `~` for null."""
    lengths = pc.binary_length(array)
    if pc.max(lengths).as_py() < _COMMON:
        return _common(kind).take(pc.fill_null(lengths, _COMMON))
    written = pc.binary_join_element_wise(lengths.cast(pa.string()), "", ":")
    return pc.fill_null(written, "~").cast(kind)


@cache
def _common(kind: pa.DataType) -> pa.Array:
    # Most lengths are small: these are written once.
    return pa.array([*(f"{length}:" for length in range(_COMMON)), "~"], pa.string()).cast(kind)


def digests(layout: str | bytes, pieces: Sequence[pa.Array | pa.Scalar], rows: int) -> bytes:
    """sha256, cut to 128 bits, of the layout and each row's pieces; one row's after another's."""
    joined = pc.binary_join_element_wise(pa.repeat(pa.scalar(layout), rows), *pieces, layout[:0])
    sha256 = hashlib.sha256
    # As numpy: Arrow's own way to a list makes a scalar of each text.
    whole = b"".join([sha256(text).digest() for text in joined.cast(pa.binary()).to_numpy(zero_copy_only=False)])
    return np.frombuffer(whole, np.uint8).reshape(-1, 2 * BYTES)[:, :BYTES].tobytes()


def as_hex(found: bytes) -> pa.Array:
    """Digests as text of 32 hex digits each."""
    count = len(found) // BYTES
    offsets = np.arange(count + 1, dtype=np.int32) * (2 * BYTES)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(hexlify(found)))
