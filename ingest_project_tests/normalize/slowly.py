"""Normalization with no fast path at all: every value goes to its rule. What the fast one must equal."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingest_project.branches.spec import BranchSpec
from ingest_project.normalize import cells, evident, fast, geo, hashing, times
from ingest_project.normalize.part import NormalizedPart, normalize_part

NOTHING = r"[^\x00-\x{10FFFF}]"


def _nothing(*arrays: pa.Array, **_: object) -> pa.Array:
    return pa.repeat(pa.scalar(False), len(arrays[0]))


def _neither(_: pa.Array, latitude: pa.Array, longitude: pa.Array, given: list[pa.Array]) -> pa.Array:
    return pc.and_(pc.is_null(given[0]), pc.is_null(given[1]))


@contextmanager
def no_fast_path() -> Iterator[None]:
    """Nothing is accepted without its rule, for as long as this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for module, pattern in ((times, "PLAIN"), (cells, "_UNESCAPED")):
            patch.setattr(module, pattern, NOTHING)
        patch.setattr(evident, "accepted_texts", _nothing)
        for kernel in ("accepted_urls", "accepted_postal_codes", "accepted_phones"):
            patch.setattr(fast, kernel, _nothing)
        patch.setattr(hashing, "_is_cast_like_repr", lambda size: pc.less(size, 0.0))
        patch.setattr(geo, "_accepted_pairs", _neither)
        yield


def normalize_slowly(page: pa.Table, spec: BranchSpec) -> NormalizedPart:
    with no_fast_path():
        return normalize_part(page, spec)


def differing(fast_one: NormalizedPart, slow_one: NormalizedPart) -> list[str]:
    """What is not the same, by column; nothing where all is."""
    if fast_one.items.schema != slow_one.items.schema or len(fast_one.items) != len(slow_one.items):
        return ["rows"]
    columns = fast_one.items.column_names
    return [
        *(name for name in columns if not fast_one.items[name].equals(slow_one.items[name])),
        *(["rejects"] if fast_one.rejects != slow_one.rejects else []),
    ]
