"""Rounds of torture: one source is ingested undisturbed, another one with kills, and then all tables are compared.

Each round ingests another state of the same data into both, with rows changed, removed and added; missing items are
kept and tombstoned in turn. The tortured ingest is killed (SIGKILL) at named points or at random moments, several times
in a row, and then run to its end. The last round rolls back the newest ingest, with kills as well. Both sources must
end up equal.
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
ROLLBACK_POINTS = (
    *("rollback_begun", "rollback_kept", "rollback_written", "rollback_batch_committed", "rollback_committed"),
    *("requests_derived", "activation_done"),
)
_SHARE_AT_POINTS = 0.7  # of the kills; the others are at random moments
_PARTS_PER_ROUND = 8  # about
_MAX_WAIT = 120.0
_RANDOM_KILL_SECONDS = 4.0  # within which a random kill strikes


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
    """How many states of the data, how many rows in each, and at most how many kills in a round.

    The seed decides about the data and the kills, but for the exact moment of a random kill.
    """

    rounds: int = 10
    rows: int = 2_000
    kills: int = 4
    seed: int = 0

    @property
    def batch_size(self) -> int:
        return max(self.rows // _PARTS_PER_ROUND, 1)

    def run(self, after_each: Callable[[Tally], None] = lambda tally: None, *, keep: bool = False) -> Tally:
        """Torture and compare; `after_each` is called after each round. Leaves nothing behind unless `keep`.

        Raises IngestError where an ingest fails by itself.
        """
        ensure_migrated()
        rng, tally = random.Random(self.seed), Tally()  # noqa: S311 - must be reproducible, not secret
        with tempfile.TemporaryDirectory(prefix="ingest-torture-") as folder, _pair(Path(folder), keep=keep) as pair:
            for number, state in enumerate(_states(self.rows, self.rounds, rng)):
                for branch in pair:
                    branch.register("tombstone" if number % 2 else "keep")
                    branch.write(state)
                tally.rows += len(state)
                self._round(pair, chain.ingest, rng, tally, after_each)
            self._round(pair, chain.roll_back, rng, tally, after_each)
        return tally

    def _round(
        self,
        pair: "_Pair",
        doing: chain.Doing,
        rng: random.Random,
        tally: Tally,
        after_each: Callable[[Tally], None],
    ) -> None:
        left_alone, tortured = pair
        doing(left_alone.name, self.batch_size, run_id="left-alone")
        tally.rounds += 1
        self._torture(tortured.name, doing, rng, tally)
        tally.differences += _differences(left_alone.name, tortured.name, tally.rounds)
        after_each(tally)

    def _torture(self, name: str, doing: chain.Doing, rng: random.Random, tally: Tally) -> None:
        for attempt in range(rng.randint(1, self.kills)):
            start = partial(chain.start, name, run_id=f"killed-{attempt}", batch_size=self.batch_size, doing=doing)
            if rng.random() < _SHARE_AT_POINTS:
                exit_code = _kill_at_point(start, _failpoint(doing, rng))
                tally.kills_at_points += exit_code == -signal.SIGKILL
            else:
                exit_code = _kill_at_random(start, rng)
                tally.kills_at_random += exit_code == -signal.SIGKILL
            if exit_code == 0:
                return  # it finished before the kill
            if exit_code != -signal.SIGKILL:
                raise IngestError(
                    f"a tortured ingest ended by itself with exit code {exit_code}", where={"branch": name}
                )
            if _has_finished(name, tally.rounds):
                return  # killed after its end: another run would be one more than the other source has had
        doing(name, self.batch_size, run_id="at-last")


def _has_finished(name: str, states: int) -> bool:
    with session() as connection:
        return states_done(connection, name) == states


def _failpoint(doing: chain.Doing, rng: random.Random) -> str:
    if doing is chain.roll_back:
        return rng.choice(ROLLBACK_POINTS)  # it has only one batch
    return f"{rng.choice(POINTS)}:{rng.randint(1, _PARTS_PER_ROUND // 2)}"


def _kill_at_point(start: Callable[..., BaseProcess], failpoint: str) -> int | None:
    child = start(failpoint=failpoint)
    child.join(_MAX_WAIT)
    return child.exitcode


def _kill_at_random(start: Callable[..., BaseProcess], rng: random.Random) -> int | None:
    child = start()
    child.join(rng.uniform(0.01, _RANDOM_KILL_SECONDS) ** 2 / _RANDOM_KILL_SECONDS)  # squared: rather early than late
    child.kill()
    child.join()
    return child.exitcode


@dataclass(frozen=True)
class _Branch:
    """The only branch of a source, and its file."""

    name: str
    file: Path

    def write(self, rows: list[Row]) -> None:
        """Make these rows the data of the branch."""
        with self.file.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def register(self, missing: str) -> None:
        """Create the branch, or update it."""
        spec = {
            **{"name": self.name, "source": self.name, "location": str(self.file), "key": "place_id"},
            **{"updated_at": "updated", "mapping": _MAPPING, "missing": missing},
        }
        with session() as connection:
            registry.apply_branch(connection, parse_spec(spec, origin="torture"))


_Pair = tuple[_Branch, _Branch]  # left alone, tortured
_MAPPING = {
    **{"name": "title", "category": "kind", "street": "street", "locality": "city", "postal_code": "postcode"},
    **{"country_code": "country", "latitude": "lat", "longitude": "lon", "phone": "phone", "website_url": "website"},
}


@contextmanager
def _pair(folder: Path, *, keep: bool) -> Generator[_Pair]:
    token = uuid4().hex[:8]
    names = (f"torture-{token}-left-alone", f"torture-{token}-killed")
    left_alone, tortured = (_Branch(name, folder / f"{name}.csv") for name in names)
    try:
        yield left_alone, tortured
    finally:
        if not keep:
            store = PartStore(settings().store_location)
            with session() as connection:
                for name in names:
                    forget(connection, store, name)


def _states(rows: int, count: int, rng: random.Random) -> Iterator[list[Row]]:
    """So many states of the data, each made from the one before."""
    state = list(generated(rows))
    for number in range(count):
        yield state
        kept = [row for row in state if rng.random() > 0.01]  # noqa: PLR2004 - one in a hundred is removed
        state = [_with_changes(row, number) if rng.random() < 0.1 else row for row in kept]  # noqa: PLR2004 - one in ten
        state += [_with_new_key(row, number) for row in rng.sample(state, max(rows - len(state), 0))]


def _with_changes(row: Row, number: int) -> Row:
    return {**row, "title": f"{row['title']} ({number})", "updated": f"2030-01-{number % 28 + 1:02d}T00:00:00Z"}


def _with_new_key(row: Row, number: int) -> Row:
    return {**row, "place_id": f"{row['place_id']}-{number}"} if row["place_id"] else row


def _differences(left_alone: str, tortured: str, number: int) -> list[str]:
    with session() as connection:
        expected, actual = traces(connection, left_alone), traces(connection, tortured)
    return [
        f"round {number}: {table}: {_format(actual[table])}, left alone {_format(expected[table])}"
        for table in expected
        if expected[table] != actual[table]
    ]


def _format(trace: Trace) -> str:
    return f"{trace.rows:,} rows ({(trace.digest or '-')[:8]})"
