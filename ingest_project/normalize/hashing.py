"""Two hashes of a normalized row: `content_hash` of all it says, `embed_hash` of what a model may see.

sha256 cut to 128 bits, over a layout version and then each value as `<bytes>:<text>`, or `~` for null: the fields
that may be embedded, in declared order, and for `content_hash` the others behind them. Unambiguous, since a length
says where a value ends; the key, issues and provenance are not in it.
"""

import hashlib
from binascii import hexlify
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.item import content_fields, embeddable_fields
from ingest_project.normalize.columns import as_one

LAYOUT = "items/1;"
# Between these, Arrow writes what is no whole number as Python does: neither with an exponent nor with `.0`.
SMALLEST, LARGEST = 1e-4, 1e9
BYTES = 16  # 128 bits
_COMMON = 4096  # lengths below it are written once, and `~` behind them

_Places = np.ndarray[tuple[int], np.dtype[np.int32]]


def hashes(items: pa.Table) -> tuple[pa.Array, pa.Array]:
    """(content_hash, embed_hash) of a table that has the columns of an item, and `attributes`."""
    embedded = embeddable_fields()
    others = (name for name in content_fields() if name not in embedded)
    told = pieces(_canonical(as_one(items.column(name))) for name in (*embedded, *others, "attributes"))
    embed_hash, content_hash = map(as_hex, told.digests(LAYOUT.encode(), (len(embedded), len(told.columns))))
    return content_hash, embed_hash


def _canonical(array: pa.Array) -> pa.Array:
    if kinds.is_floating(array.type):
        return _written(pc.add(array, 0.0))
    if kinds.is_decimal(array.type):
        # A decimal of a scale always has its point: only zeros after it are cut.
        return pc.utf8_rtrim(pc.utf8_rtrim(array.cast(pa.string()), "0"), ".")
    return array


def _written(array: pa.Array) -> pa.Array:
    """Floats as Python's repr writes them."""
    texts = array.cast(pa.string())
    others = pc.fill_null(pc.invert(_alike(pc.abs(array))), False)
    if not pc.any(others).as_py():
        return texts
    return pc.replace_with_mask(texts, others, pa.array([repr(one) for one in array.filter(others).to_pylist()]))


def _alike(size: pa.Array) -> pa.Array:
    usual = pc.and_(pc.greater_equal(size, SMALLEST), pc.less(size, LARGEST))
    return pc.and_(usual, pc.not_equal(size, pc.floor(size)))


@dataclass(frozen=True)
class Pieces:
    """Texts and their lengths, each written once; and for each column, which of them tell its value in each row."""

    texts: pa.Array
    columns: Sequence[Sequence[_Places]]

    def digests(self, layout: bytes, ends: Sequence[int]) -> list[bytes]:
        """For each of `ends`, sha256 (128 bits) of the layout and a row's columns before it: one row after another.

        A row's bytes are fed once, and its digest is taken at each end.
        """
        begun, found = hashlib.sha256(layout), list[bytes]()
        one = begun
        for at, text in zip(cycle(range(len(ends))), self._stretches(ends)):
            one = one if at else begun.copy()
            one.update(text)
            found.append(one.digest())
        whole = np.frombuffer(b"".join(found), np.uint8).reshape(-1, len(ends), 2 * BYTES)
        return [whole[:, at, :BYTES].tobytes() for at in range(len(ends))]

    def _stretches(self, ends: Sequence[int]) -> Iterable[bytes]:
        """The bytes of each row up to the first of `ends`, from there to the next, and so on."""
        places = [place for column in self.columns for place in column]
        # Taken in this order, the texts of a row lie one behind another: a stretch ends where its last text does.
        taken = self.texts.take(pa.array(np.stack(places).T.ravel()))
        _, offsets, data = taken.buffers()
        begins = np.frombuffer(offsets, np.int32, len(taken) + 1)
        counts = [sum(map(len, self.columns[:end])) for end in (0, *ends[:-1])]
        marks = np.append(begins[:-1].reshape(-1, len(places))[:, counts], begins[-1])
        stretches = pa.BinaryArray.from_buffers(pa.binary(), len(marks) - 1, [None, pa.py_buffer(marks), data])
        # As numpy: Arrow's own way to a list makes a scalar of each text.
        return stretches.to_numpy(zero_copy_only=False)


def pieces(columns: Iterable[pa.Array]) -> Pieces:
    """Columns of text or bytes, each value as `<bytes>:<text>`, or `~` for null."""
    texts: list[pa.Array] = [_common()]
    places: list[Sequence[_Places]] = []
    for column in columns:
        lengths = pc.binary_length(column)
        if (pc.max(lengths).as_py() or 0) >= _COMMON:
            lengths = _written_out(lengths, texts)
        led = pc.fill_null(lengths, _COMMON).to_numpy()
        places.append([led] if column.null_count == len(column) else [led, _appended(column, texts)])
    return Pieces(pa.concat_arrays(texts), places)


def _written_out(lengths: pa.Array, texts: list[pa.Array]) -> pa.Array:
    encoded = lengths.dictionary_encode()
    written = pc.binary_join_element_wise(encoded.dictionary.cast(pa.string()), "", ":")
    places = pa.array(_appended(written, texts))
    return places.take(encoded.indices)


def _appended(column: pa.Array, texts: list[pa.Array]) -> _Places:
    """Where the values of the column are, behind the texts so far."""
    first = sum(map(len, texts))
    texts.append(column.cast(pa.binary()))
    return np.arange(first, first + len(column), dtype=np.int32)


@cache
def _common() -> pa.Array:
    return pa.array([*(f"{length}:" for length in range(_COMMON)), "~"], pa.binary())


def as_hex(found: bytes) -> pa.Array:
    """Digests as text of 32 hex digits each."""
    count = len(found) // BYTES
    offsets = np.arange(count + 1, dtype=np.int32) * (2 * BYTES)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(hexlify(found)))
