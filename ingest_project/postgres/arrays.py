"""numpy arrays as parameters of a statement, in Postgres' binary format for arrays."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEADER = struct.Struct(">iiIii")  # dimensions, nulls, element type, length, first index


@dataclass(frozen=True)
class BinaryArray:
    """An encoded array; the statement must cast it to its type."""

    data: bytes


class _Dumper(Dumper):
    format = Format.BINARY
    oid = 0  # unknown: the cast decides

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(BinaryArray, _Dumper)


def binary_array(elements: NDArray[Any], element_type: int) -> BinaryArray:
    """An array of elements that are already in Postgres' binary format; `element_type` is the oid of their type."""
    if not len(elements):
        return BinaryArray(_HEADER.pack(0, 0, element_type, 0, 0)[:12])
    rows = np.zeros(len(elements), np.dtype([("size", ">i4"), ("value", elements.dtype)]))
    rows["size"], rows["value"] = elements.dtype.itemsize, elements
    return BinaryArray(_HEADER.pack(1, 0, element_type, len(elements), 1) + rows.tobytes())
