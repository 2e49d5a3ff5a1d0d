"""The keys of an activation, split into ranges: each is compared with core.items in a session of its own.

What is new, changed or missing under a key does not depend on any other key. So ranges can be compared in parallel,
and their results are added up.
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
_SAMPLED_KEYS = 1_000  # of one part


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

    def excludes(self, lowest: str, highest: str) -> bool:
        """Whether no key from `lowest` to `highest` is in the range."""
        return (self.low is not None and highest < self.low) or (self.high is not None and lowest >= self.high)

    def select(self, keys: pa.Table) -> pa.Table:
        """The rows whose key is in the range."""
        if self.low is not None:
            keys = keys.filter(pc.greater_equal(keys[KEY], self.low))
        return keys if self.high is None else keys.filter(pc.less(keys[KEY], self.high))


ALL_KEYS = KeyRange()


def split_keys(parts: Sequence[ValidPart], count: int) -> list[KeyRange]:
    """At most `count` ranges of about as many rows each, estimated from the keys of a few evenly spread parts."""
    if count <= 1 or not parts:
        return [ALL_KEYS]
    samples = 2 * count - 1  # an odd number: where a sorted source is halved, the border is within the middle part
    sampled_parts = [parts[(2 * at + 1) * len(parts) // (2 * samples)] for at in range(samples)]
    keys = sorted(key for part in sampled_parts for key in _sample_keys(part.keys()[KEY]))
    bounds = sorted({keys[at * len(keys) // count] for at in range(1, count)}) if keys else []
    return [KeyRange(low, high) for low, high in pairwise([None, *bounds, None])]


def _sample_keys(keys: pa.ChunkedArray) -> list[str]:
    positions = np.linspace(0, len(keys) - 1, min(len(keys), _SAMPLED_KEYS)).astype(np.int64)
    return keys.take(pa.array(positions)).to_pylist()


@dataclass
class PartSpans:
    """The lowest and the highest key of each part that was read so far."""

    _spans: dict[int, tuple[str, str]] = field(default_factory=dict)

    def within(self, key_range: KeyRange, parts: Sequence[ValidPart]) -> Iterator[tuple[ValidPart, pa.Table]]:
        """The keys of a range and their positions, part by part; parts known to have no key in it are not read."""
        # The last range starts from the last part, so that in a source sorted by key no part is read for both ends.
        for part in parts if key_range.high is not None or key_range == ALL_KEYS else reversed(parts):
            span = self._spans.get(part.number)
            if span and key_range.excludes(*span):
                continue
            keys = part.keys()
            keys = keys.append_column(POSITION, pa.array(np.arange(keys.num_rows, dtype=np.int32)))
            yield part, keys if key_range == ALL_KEYS else self._select(part, keys, key_range)

    def _select(self, part: ValidPart, keys: pa.Table, key_range: KeyRange) -> pa.Table:
        if keys.num_rows:
            span = pc.min_max(keys[KEY]).as_py()
            self._spans[part.number] = span["min"], span["max"]
        return key_range.select(keys)
