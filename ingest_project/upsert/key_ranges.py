"""The keys of an activation, split into ranges: each is compared with core.items in a session of its own.

What is new, changed or missing under a key depends on no other key: ranges are compared in parallel, and what was
found in each adds up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from ingest_project.item import KEY
from ingest_project.upsert.part import ValidPart

POSITION = "position"
_FROM = sql.SQL(" and i.external_id >= {}")
_BELOW = sql.SQL(" and i.external_id < {}")
_SAMPLED = 1_000


@dataclass(frozen=True)
class KeyRange:
    """Keys from `low` (inclusive) to `high` (exclusive); None is no bound.

    Code points, UTF-8 bytes and collation "C" put keys in the same order.
    """

    low: str | None = None
    high: str | None = None

    @property
    def condition(self) -> sql.Composable:
        """SQL that restricts live rows `i` to the range, to be appended to a `where`; empty for all keys."""
        bounds = ((_FROM, self.low), (_BELOW, self.high))
        return sql.SQL("").join(text.format(sql.Literal(bound)) for text, bound in bounds if bound is not None)

    def excludes(self, least: str, greatest: str) -> bool:
        """Whether no key from `least` to `greatest` is in the range."""
        return (self.low is not None and greatest < self.low) or (self.high is not None and least >= self.high)

    def select(self, keys: pa.Table) -> pa.Table:
        """The rows whose key is in the range."""
        if self.low is not None:
            keys = keys.filter(pc.greater_equal(keys[KEY], self.low))
        return keys if self.high is None else keys.filter(pc.less(keys[KEY], self.high))


ALL_KEYS = KeyRange()


def split_keys(parts: Sequence[ValidPart], count: int) -> list[KeyRange]:
    """At most `count` ranges of about as many rows each, estimated from the keys of a few parts spread evenly."""
    if count <= 1 or not parts:
        return [ALL_KEYS]
    looks = 2 * count - 1  # an odd number, so that two halves of a sorted source meet within the middle one
    sampled = [parts[(2 * at + 1) * len(parts) // (2 * looks)].keys()[KEY] for at in range(looks)]
    keys = sorted(key for one in sampled for key in one.take(_spread(len(one))).to_pylist())
    bounds = sorted({keys[at * len(keys) // count] for at in range(1, count)}) if keys else []
    return [KeyRange(low, high) for low, high in pairwise([None, *bounds, None])]


def _spread(rows: int) -> pa.Array:
    return pa.array(np.linspace(0, rows - 1, min(rows, _SAMPLED)).astype(np.int64))


@dataclass
class PartSpans:
    """The least and the greatest key of each part that was read so far."""

    _known: dict[int, tuple[str, str]] = field(default_factory=dict)

    def within(self, key_range: KeyRange, parts: Sequence[ValidPart]) -> Iterator[tuple[ValidPart, pa.Table]]:
        """The keys of a range and their positions, part by part; parts known to have none of them are not read."""
        # The last range begins with the last part: of a source that is sorted by key, none reads what another has.
        for part in parts if key_range.high is not None or key_range == ALL_KEYS else reversed(parts):
            span = self._known.get(part.number)
            if span and key_range.excludes(*span):
                continue
            keys = part.keys()
            keys = keys.append_column(POSITION, pa.array(np.arange(keys.num_rows, dtype=np.int32)))
            yield part, keys if key_range == ALL_KEYS else self._select(part, keys, key_range)

    def _select(self, part: ValidPart, keys: pa.Table, key_range: KeyRange) -> pa.Table:
        if keys.num_rows:
            span = pc.min_max(keys[KEY]).as_py()
            self._known[part.number] = span["min"], span["max"]
        return key_range.select(keys)
