"""The law of the replay: what was set aside by a branch file that is mended ends as if it had always been so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ingest_project.branches import registry
from ingest_project.errors import UsageError
from ingest_project.postgres.connection import session
from ingest_project.torture import chain
from ingest_project_tests.journey import replaying
from ingest_project_tests.journey.conftest import MAPPING, spec_of, write_csv
from ingest_project_tests.journey.replaying import live, marks, told

UNNAMED = {**MAPPING, "name": {"column": "name", "default": "Unnamed"}}
# A branch file that sets good rows aside, beside one that takes them all: they differ in nothing else.
BREAKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "name": ({}, {"mapping": UNNAMED}),
    "required": ({"required": ["locality"], "mapping": UNNAMED}, {"mapping": UNNAMED}),
    "reject_on": ({"reject_on": ["whitespace_folded"], "mapping": UNNAMED}, {"mapping": UNNAMED}),
}
LIMITS = dict.fromkeys(
    ("reject_ratio", "duplicate_ratio", "shrink_ratio", "rekeyed_ratio", "change_ratio"), 1
)  # states at random
LAX = {"limits": {f"max_{code}": limit for code, limit in LIMITS.items()}}
Row = tuple[str, ...]


@dataclass(frozen=True)
class History:
    """States of a branch, the last `after` of them delivered once its file is mended and what failed is replayed."""

    broken: str
    timed: bool
    missing: str
    states: tuple[tuple[Row, ...], ...]
    after: int

    def spec(self, file: Path, *, mended: bool) -> dict[str, Any]:
        given = BREAKS[self.broken][mended]
        time = {} if self.timed else {"updated_at": None}
        return {"name": file.stem, "source": file.stem, "missing": self.missing, **LAX, **time, **given}


def row(key: str, name: str, city: str, time: int | None, color: str = "red") -> Row:
    return (key, name, city, "DE", "", "", f"2024-01-0{time}T00:00:00Z" if time else "", color)


@st.composite
def histories(draw: st.DrawFn) -> History:
    # A source time never goes back from state to state: of a key that a later one carried the replay takes nothing,
    # even where what it said is older.
    timed = draw(st.booleans())
    states: list[tuple[Row, ...]] = []
    for nth in range(draw(st.integers(1, 3))):
        times = st.sampled_from((2 * nth + 1, 2 * nth + 2)) if timed else st.none()
        cells = (st.sampled_from(texts) for texts in ("abcd_", ("", "A", "B", " C"), ("", "Bonn", "Ulm ")))
        drawn = draw(st.lists(st.tuples(*cells, times, st.sampled_from(("red", "blue"))), min_size=1, max_size=6))
        states.append(tuple(row(key.strip("_"), *rest) for key, *rest in drawn))
    missing = draw(st.sampled_from(("keep", "tombstone")))
    after = draw(st.integers(0, len(states) - 1))
    return History(draw(st.sampled_from(sorted(BREAKS))), timed, missing, tuple(states), after)


def apply(history: History, file: Path, *, mended: bool) -> None:
    with session() as connection:
        registry.apply_branch(connection, spec_of(file, **history.spec(file, mended=mended)))


def deliver(file: Path, states: tuple[tuple[Row, ...], ...]) -> None:
    for state in states:
        write_csv(file, state)
        assert chain.ingest(file.stem, batch_size=3).state == "done"


def replay_all(name: str) -> None:
    """Replay, and once more: what was taken up is not again, and what still fails changes nothing."""
    try:
        first = replaying.replay(name)
    except UsageError:
        assert all(marks(name).values()), "rows are left"
        return
    once, items = marks(name), live(name)
    set_aside = told(name, f"select errors from ingest.rejects where activation_id = {first.activation_id}")
    failed = [one for one in set_aside if one["errors"][0]["code"] not in ("duplicate_key", "key_superseded")]
    assert sum(by == first.activation_id for by in once.values()) == (first.rows_read or 0) - len(failed)
    if failed:
        again = replaying.replay(name)
        assert (again.rows_read, again.valid, again.inserted, again.updated) == (len(failed), 0, 0, 0)
    with pytest.raises(UsageError) if not failed else pytest.MonkeyPatch.context():
        replaying.replay(name)
    assert (marks(name), live(name)) == (once, items)


def agrees(history: History, folder: Path) -> None:
    """The law itself, for one history."""
    right, wrong = (folder / f"{kind} {uuid4().hex[:8]}.csv" for kind in ("right", "wrong"))
    before, then = history.states[: -history.after or None], history.states[len(history.states) - history.after :]
    apply(history, right, mended=True)
    deliver(right, history.states)
    apply(history, wrong, mended=False)
    deliver(wrong, before)
    apply(history, wrong, mended=True)
    replay_all(wrong.stem)
    deliver(wrong, then)
    replay_all(wrong.stem)
    assert live(wrong.stem) == live(right.stem)
    says_nothing_of_others(wrong.stem)
    carried = "select carried from ingest.activations where branch_id = {branch} and kind = 'ingest' order by 1"
    if history.after > 1:  # compared with the activation before, a replay or not
        assert told(wrong.stem, carried)[-history.after + 1 :] == told(right.stem, carried)[-history.after + 1 :]


def says_nothing_of_others(name: str) -> None:
    """A replay has no gates, misses nothing and carries nothing."""
    mine = "ingest.activations a where a.branch_id = {branch} and a.kind = 'replay'"
    assert not told(
        name, f"select code from ingest.gates join {mine.replace(' where', ' using (activation_id) where')}"
    )
    counts = told(name, f"select missing, tombstoned, carried from {mine}")
    assert not [one for one in counts if any(one.values())]


@pytest.fixture
def folder(database: str, home: Path, tmp_path: Path) -> Path:
    return tmp_path


LATER_AND_GOOD = History("name", False, "keep", ((row("a", "", "", None), row("a", "A", "", None)),), 0)
LOST_TO_THE_REPLAYED = History("name", True, "keep", ((row("a", "", "", 2), row("a", "A", "", 1)),), 0)
TOMBSTONED = History("name", True, "tombstone", ((row("a", "A", "", 1),), (row("a", "", "", 2),)), 0)


@settings(
    deadline=None,
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.generate),
)
@example(LATER_AND_GOOD)
@example(LOST_TO_THE_REPLAYED)
@example(TOMBSTONED)
@given(histories())
def test_what_was_set_aside_ends_as_if_it_had_been_good(folder: Path, history: History) -> None:
    agrees(history, folder)


@pytest.mark.long
@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.generate),
)
@given(histories())
def test_many_histories_end_as_if_all_had_been_good(folder: Path, history: History) -> None:
    agrees(history, folder)
