"""The keys of an activation, cut into stretches: each is compared with core.items in a session of its own.

What is new, changed or missing under a key depends on no other key: stretches are compared side by side, and what was
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
class Stretch:
    """Keys from `low` on and below `high`: code points, UTF-8 bytes and collation "C" put them in the same order."""

    low: str | None = None
    high: str | None = None

    @property
    def condition(self) -> sql.Composable:
        """What more to ask of a live row `i`; nothing where all keys are in it."""
        bounds = ((_FROM, self.low), (_BELOW, self.high))
        return sql.SQL("").join(text.format(sql.Literal(bound)) for text, bound in bounds if bound is not None)

    def lacks(self, least: str, greatest: str) -> bool:
        """Whether no key between these is in it."""
        return (self.low is not None and greatest < self.low) or (self.high is not None and least >= self.high)

    def of(self, keys: pa.Table) -> pa.Table:
        """The rows of it."""
        if self.low is not None:
            keys = keys.filter(pc.greater_equal(keys[KEY], self.low))
        return keys if self.high is None else keys.filter(pc.less(keys[KEY], self.high))


ALL_KEYS = Stretch()


def cut(parts: Sequence[ValidPart], count: int) -> list[Stretch]:
    """At most `count` stretches of about as many rows each, told by the keys of a few parts from all over."""
    if count <= 1 or not parts:
        return [ALL_KEYS]
    looks = 2 * count - 1  # an odd number, so that two halves of a sorted source meet within the middle one
    sampled = [parts[(2 * at + 1) * len(parts) // (2 * looks)].keys()[KEY] for at in range(looks)]
    keys = sorted(key for one in sampled for key in one.take(_spread(len(one))).to_pylist())
    bounds = sorted({keys[at * len(keys) // count] for at in range(1, count)}) if keys else []
    return [Stretch(low, high) for low, high in pairwise([None, *bounds, None])]


def _spread(rows: int) -> pa.Array:
    return pa.array(np.linspace(0, rows - 1, min(rows, _SAMPLED)).astype(np.int64))


@dataclass
class Spans:
    """From which key to which each part goes, as far as anybody has read it."""

    _known: dict[int, tuple[str, str]] = field(default_factory=dict)

    def within(self, stretch: Stretch, parts: Sequence[ValidPart]) -> Iterator[tuple[ValidPart, pa.Table]]:
        """The keys of a stretch and their positions, part by part; parts that are known to lack them are not read."""
        # The last stretch begins with the last part: of a source that is sorted by key, none reads what another has.
        for part in parts if stretch.high is not None or stretch == ALL_KEYS else reversed(parts):
            span = self._known.get(part.number)
            if span and stretch.lacks(*span):
                continue
            keys = part.keys()
            keys = keys.append_column(POSITION, pa.array(np.arange(keys.num_rows, dtype=np.int32)))
            yield part, keys if stretch == ALL_KEYS else self._cut_from(part, keys, stretch)

    def _cut_from(self, part: ValidPart, keys: pa.Table, stretch: Stretch) -> pa.Table:
        if keys.num_rows:
            span = pc.min_max(keys[KEY]).as_py()
            self._known[part.number] = span["min"], span["max"]
        return stretch.of(keys)
