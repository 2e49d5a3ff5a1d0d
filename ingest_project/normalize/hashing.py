"""Two hashes of a normalized row: `content_hash` of its whole content, `embed_hash` of the fields a model may embed.

Each is the first 128 bits of a sha256 over a layout version and then each value as `<bytes>:<text>`, or `~` for null:
the fields that may be embedded, in declared order, and for `content_hash` all others after them. The lengths make it
unambiguous. The key, issues and provenance are not part of it.
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
from ingest_project.normalize.columns import as_array

LAYOUT = "items/1;"
# Between these, Arrow writes a float that is not whole as Python does: without an exponent.
SMALLEST, LARGEST = 1e-4, 1e9
BYTES = 16  # 128 bits
_PREPARED = 4096  # the texts of all lengths below it are prepared, and `~` at this index

_Indices = np.ndarray[tuple[int], np.dtype[np.int32]]


def hashes(items: pa.Table) -> tuple[pa.Array, pa.Array]:
    """(content_hash, embed_hash) of a table with the fields of an item and `attributes`."""
    embedded = embeddable_fields()
    others = (name for name in content_fields() if name not in embedded)
    row_pieces = pieces(_canonical(as_array(items.column(name))) for name in (*embedded, *others, "attributes"))
    ends = (len(embedded), len(row_pieces.columns))
    embed_hash, content_hash = map(as_hex, row_pieces.digests(LAYOUT.encode(), ends))
    return content_hash, embed_hash


def _canonical(array: pa.Array) -> pa.Array:
    if kinds.is_floating(array.type):
        return _as_repr(pc.add(array, 0.0))  # -0.0 becomes 0.0
    if kinds.is_decimal(array.type):
        # The text of a decimal with a scale always has a point, so that only zeros after it are trimmed.
        return pc.utf8_rtrim(pc.utf8_rtrim(array.cast(pa.string()), "0"), ".")
    return array


def _as_repr(array: pa.Array) -> pa.Array:
    """Floats as Python's repr writes them."""
    texts = array.cast(pa.string())
    rest = pc.fill_null(pc.invert(_is_cast_like_repr(pc.abs(array))), False)
    if not pc.any(rest).as_py():
        return texts
    return pc.replace_with_mask(texts, rest, pa.array([repr(number) for number in array.filter(rest).to_pylist()]))


def _is_cast_like_repr(size: pa.Array) -> pa.Array:
    is_usual = pc.and_(pc.greater_equal(size, SMALLEST), pc.less(size, LARGEST))
    return pc.and_(is_usual, pc.not_equal(size, pc.floor(size)))


@dataclass(frozen=True)
class Pieces:
    """What is hashed of a table: `texts`, and for each column one or two arrays with the index of each row's texts."""

    texts: pa.Array
    columns: Sequence[Sequence[_Indices]]

    def digests(self, layout: bytes, ends: Sequence[int]) -> list[bytes]:
        """For each of `ends`, the digests (128 bits) of the layout and the columns before it, of all rows joined.

        The bytes of a row are hashed once; a digest is taken at each end.
        """
        start, digests = hashlib.sha256(layout), list[bytes]()
        hasher = start
        for position, section in zip(cycle(range(len(ends))), self._sections(ends)):
            hasher = hasher if position else start.copy()
            hasher.update(section)
            digests.append(hasher.digest())
        table = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, len(ends), 2 * BYTES)
        return [table[:, position, :BYTES].tobytes() for position in range(len(ends))]

    def _sections(self, ends: Sequence[int]) -> Iterable[bytes]:
        """Row by row, the bytes up to the first of `ends`, from there to the next, and so on."""
        indices = [index for column in self.columns for index in column]
        # Taken row by row, the texts of a section are adjacent in the data buffer: one slice of it is the section.
        texts = self.texts.take(pa.array(np.stack(indices).T.ravel()))
        _, offsets, data = texts.buffers()
        starts = np.frombuffer(offsets, np.int32, len(texts) + 1)
        first_texts = [sum(map(len, self.columns[:end])) for end in (0, *ends[:-1])]
        bounds = np.append(starts[:-1].reshape(-1, len(indices))[:, first_texts], starts[-1])
        sections = pa.BinaryArray.from_buffers(pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), data])
        # By way of numpy: `to_pylist` makes an Arrow scalar of each value first.
        return sections.to_numpy(zero_copy_only=False)


def pieces(columns: Iterable[pa.Array]) -> Pieces:
    """Columns of text or bytes, each value as `<bytes>:<text>`, or `~` for null."""
    texts: list[pa.Array] = [_prepared()]
    indices: list[Sequence[_Indices]] = []
    for column in columns:
        lengths = pc.binary_length(column)
        if (pc.max(lengths).as_py() or 0) >= _PREPARED:
            lengths = _append_lengths(lengths, texts)
        prefixes = pc.fill_null(lengths, _PREPARED).to_numpy()
        indices.append([prefixes] if column.null_count == len(column) else [prefixes, _append(column, texts)])
    return Pieces(pa.concat_arrays(texts), indices)


def _append_lengths(lengths: pa.Array, texts: list[pa.Array]) -> pa.Array:
    """Append the distinct lengths as text, and return the index of each row's."""
    encoded = lengths.dictionary_encode()
    prefixes = pc.binary_join_element_wise(encoded.dictionary.cast(pa.string()), "", ":")
    return pa.array(_append(prefixes, texts)).take(encoded.indices)


def _append(column: pa.Array, texts: list[pa.Array]) -> _Indices:
    """Append the values of a column, and return their indices."""
    first = sum(map(len, texts))
    texts.append(column.cast(pa.binary()))
    return np.arange(first, first + len(column), dtype=np.int32)


@cache
def _prepared() -> pa.Array:
    return pa.array([*(f"{length}:" for length in range(_PREPARED)), "~"], pa.binary())


def as_hex(digests: bytes) -> pa.Array:
    """Joined digests as texts of 32 hex digits each."""
    count = len(digests) // BYTES
    offsets = np.arange(count + 1, dtype=np.int32) * (2 * BYTES)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(hexlify(digests)))
