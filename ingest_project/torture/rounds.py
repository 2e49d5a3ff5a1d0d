"""Rounds of torture: the same data into two sources, one left alone, one killed on its way; then all tables compared.

A round is another state of the data: some rows changed, some gone, some new; what is gone is kept and tombstoned in
turn. The tortured ingest is killed (SIGKILL) at named points or at random moments, several times in a row, and then run
to its end. The last round rolls the newest ingest back, under the same torture. What both left must be equal.
"""

import csv
import random
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

from ingest_project.branches import registry
from ingest_project.branches.spec import parse_spec
from ingest_project.errors import IngestError
from ingest_project.extract.store import PartStore
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.sample.generate import Row, generated
from ingest_project.settings import settings
from ingest_project.torture import chain
from ingest_project.torture.traces import Trace, forget, states_done, traces

# Every durable step of the four stages, and the instants just before and after it.
POINTS = (
    *("activation_claimed", "pinned", "part_written_not_renamed", "part_stored", "part_listed", "snapshot_ended"),
    *("normalized_part_listed", "duplicates_decided", "normalization_ended", "probed", "batch_open", "batch_staged"),
    *("batch_locked", "batch_history", "batch_updated", "batch_inserted", "batch_row", "batch_committed"),
    *("all_batches", "tombstones_open", "tombstones_kept", "tombstones_written", "tombstones_committed"),
    *("activation_committed", "requests_derived", "activation_done"),
)
UNDOING = (
    *("rollback_begun", "rollback_kept", "rollback_written", "rollback_batch_committed", "rollback_committed"),
    *("requests_derived", "activation_done"),
)
_AT_POINTS = 0.7  # of the kills: most where they hurt
_PARTS = 8  # a round has about so many
_LONGEST_WAIT = 120.0
_STEADY = 4.0  # seconds within which a random kill strikes


@dataclass
class Tally:
    """What has been done so far."""

    rounds: int = 0
    kills_at_points: int = 0
    kills_at_random: int = 0
    rows: int = 0
    differences: list[str] = field(default_factory=list[str])

    @property
    def kills(self) -> int:
        return self.kills_at_points + self.kills_at_random


@dataclass(frozen=True)
class Torture:
    """How hard: states of the data, rows of each, at most so many kills a round. One seed, one course of events."""

    rounds: int = 10
    rows: int = 2_000
    kills: int = 4
    seed: int = 0

    @property
    def batch_size(self) -> int:
        return max(self.rows // _PARTS, 1)

    def run(self, after_each: Callable[[Tally], None] = lambda tally: None, *, keep: bool = False) -> Tally:
        """Torture and compare; `after_each` is called after each round. Leaves nothing behind unless `keep`.

        Raises IngestError where an ingest that was left alone did not get to its end.
        """
        ensure_migrated()
        chance, tally = random.Random(self.seed), Tally()  # noqa: S311 - a course of events, not a secret
        with tempfile.TemporaryDirectory(prefix="ingest-torture-") as folder, _pair(Path(folder), keep=keep) as pair:
            for number, state in enumerate(_states(self.rows, self.rounds, chance)):
                for place in pair:
                    place.register("tombstone" if number % 2 else "keep")
                    place.holds(state)
                tally.rows += len(state)
                self._round(pair, chain.ingest, chance, tally, after_each)
            self._round(pair, chain.roll_back, chance, tally, after_each)
        return tally

    def _round(
        self,
        pair: "_Pair",
        doing: chain.Doing,
        chance: random.Random,
        tally: Tally,
        after_each: Callable[[Tally], None],
    ) -> None:
        left_alone, tortured = pair
        doing(left_alone.name, self.batch_size, run_id="left-alone")
        tally.rounds += 1
        self._torture(tortured.name, doing, chance, tally)
        tally.differences += _differences(left_alone.name, tortured.name, tally.rounds)
        after_each(tally)

    def _torture(self, name: str, doing: chain.Doing, chance: random.Random, tally: Tally) -> None:
        for attempt in range(chance.randint(1, self.kills)):
            start = partial(chain.start, name, run_id=f"killed-{attempt}", batch_size=self.batch_size, doing=doing)
            if chance.random() < _AT_POINTS:
                ended = _killed_at_point(start, _failpoint(doing, chance))
                tally.kills_at_points += ended == -signal.SIGKILL
            else:
                ended = _killed_at_random(start, chance)
                tally.kills_at_random += ended == -signal.SIGKILL
            if ended == 0:
                return  # it got to its end before the kill
            if ended != -signal.SIGKILL:
                raise IngestError(f"a tortured ingest ended by itself with exit code {ended}", where={"branch": name})
            if _is_done(name, tally.rounds):
                return  # killed behind its end: doing it again would be one more than the other has had
        doing(name, self.batch_size, run_id="at-last")


def _is_done(name: str, states: int) -> bool:
    with session() as connection:
        return states_done(connection, name) == states


def _failpoint(doing: chain.Doing, chance: random.Random) -> str:
    if doing is chain.roll_back:
        return chance.choice(UNDOING)  # one batch is all of it
    return f"{chance.choice(POINTS)}:{chance.randint(1, _PARTS // 2)}"


def _killed_at_point(start: Callable[..., BaseProcess], failpoint: str) -> int | None:
    child = start(failpoint=failpoint)
    child.join(_LONGEST_WAIT)
    return child.exitcode


def _killed_at_random(start: Callable[..., BaseProcess], chance: random.Random) -> int | None:
    child = start()
    child.join(chance.uniform(0.01, _STEADY) ** 2 / _STEADY)  # rather early than late
    child.kill()
    child.join()
    return child.exitcode


@dataclass(frozen=True)
class _Place:
    """A branch that is all of its source, and its file."""

    name: str
    file: Path

    def holds(self, rows: list[Row]) -> None:
        with self.file.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def register(self, missing: str) -> None:
        """Make the branch, or bring it to what its file says now."""
        spec = {
            **{"name": self.name, "source": self.name, "location": str(self.file), "key": "place_id"},
            **{"updated_at": "updated", "mapping": _MAPPING, "missing": missing},
        }
        with session() as connection:
            registry.apply_branch(connection, parse_spec(spec, origin="torture"))


_Pair = tuple[_Place, _Place]
_MAPPING = {
    **{"name": "title", "category": "kind", "street": "street", "locality": "city", "postal_code": "postcode"},
    **{"country_code": "country", "latitude": "lat", "longitude": "lon", "phone": "phone", "website_url": "website"},
}


@contextmanager
def _pair(folder: Path, *, keep: bool) -> Generator[_Pair]:
    token = uuid4().hex[:8]
    names = (f"torture-{token}-left-alone", f"torture-{token}-killed")
    one, other = (_Place(name, folder / f"{name}.csv") for name in names)
    try:
        yield one, other
    finally:
        if not keep:
            store = PartStore(settings().store_location)
            with session() as connection:
                for name in names:
                    forget(connection, store, name)


def _states(rows: int, count: int, chance: random.Random) -> Iterator[list[Row]]:
    """So many states of the data, each from the one before."""
    state = list(generated(rows))
    for number in range(count):
        yield state
        kept = [row for row in state if chance.random() > 0.01]  # noqa: PLR2004 - one in a hundred goes
        state = [_changed(row, number) if chance.random() < 0.1 else row for row in kept]  # noqa: PLR2004 - a tenth
        state += [_renamed(row, number) for row in chance.sample(state, max(rows - len(state), 0))]


def _changed(row: Row, number: int) -> Row:
    return {**row, "title": f"{row['title']} ({number})", "updated": f"2030-01-{number % 28 + 1:02d}T00:00:00Z"}


def _renamed(row: Row, number: int) -> Row:
    return {**row, "place_id": f"{row['place_id']}-{number}"} if row["place_id"] else row


def _differences(one: str, other: str, number: int) -> list[str]:
    with session() as connection:
        expected, found = traces(connection, one), traces(connection, other)
    return [
        f"round {number}: {table}: {_shown(found[table])}, left alone {_shown(expected[table])}"
        for table in expected
        if expected[table] != found[table]
    ]


def _shown(trace: Trace) -> str:
    return f"{trace.rows:,} rows ({(trace.digest or '-')[:8]})"
