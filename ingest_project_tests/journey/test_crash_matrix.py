"""Every point of the four stages, tombstones and rollbacks too, in both ways to end there: by SIGKILL, by an exception.

What kills do to loads and updates is in test_exactly_once; the matrix of both files is held against the code.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from ingest_project import failpoints
from ingest_project.failpoints import FailpointReached
from ingest_project.torture import chain
from ingest_project.torture.chain import Doing
from ingest_project.upsert import parallel, rollback, tombstones
from ingest_project_tests.crashing import one_by_one, points
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.test_exactly_once import EVERYWHERE, ON_UPDATE, forget_everything, killed_at, settled

CODE = points("branches", "extract", "normalize", "upsert", "embeddings/ledger.py")
COPIED = ("batch_open:2", "batch_inserted", "batch_row:2", "batch_committed", "all_batches", "activation_committed")
TOMBSTONES = ("tombstones_open", "tombstones_kept", "tombstones_written", "tombstones_committed")
UNDOING = ("rollback_kept", "rollback_written", "rollback_batch_committed")
KILLED_ELSEWHERE = (*EVERYWHERE, *ON_UPDATE)
LAST = "activation_done"  # behind it nothing is left to do


@dataclass(frozen=True)
class Way:
    """What a branch was given before, and what is ended at a point and then gone on with."""

    before: tuple[Any, ...]
    now: Any
    doing: Doing = chain.ingest
    missing: str = "keep"


LOAD, UPDATE = Way((), FIRST), Way((FIRST,), SECOND)
DELETION = Way((FIRST,), SECOND, missing="tombstone")
ROLLBACK = Way((FIRST, SECOND), SECOND, chain.roll_back, missing="tombstone")  # of inserts, updates and tombstones


def killed(place: Place, point: str, doing: Doing) -> None:
    """End it by SIGKILL, in a process of its own."""
    killed_at(place, point, partial(one_by_one, doing))


def raised(place: Place, point: str, doing: Callable[..., object]) -> None:
    """End it by an exception, which this process outlives, with all that it left there."""
    name, _, nth = point.partition(":")
    failpoints.arm(f"{name}!:{nth}")
    with pytest.raises(FailpointReached):
        doing(place.name, run_id="raised", holder="killed")
    failpoints.arm("")


End = Callable[[Place, str, Doing], None]
MATRIX: tuple[tuple[Way, tuple[End, ...], tuple[str, ...]], ...] = (
    (LOAD, (raised,), COPIED),
    (LOAD, (killed, raised), ("requests_made", "requests_made:2")),
    (UPDATE, (raised,), KILLED_ELSEWHERE),
    (DELETION, (killed, raised), tuple(f"{point}{nth}" for point in TOMBSTONES for nth in ("", ":2"))),
    (ROLLBACK, (killed, raised), ("rollback_begun", *UNDOING, *(f"{point}:3" for point in UNDOING))),
    (ROLLBACK, (killed, raised), ("rollback_committed", "requests_derived", LAST)),
)
CASES = [(way, end, point) for way, ends, names in MATRIX for end in ends for point in names]
WAYS = {LOAD: "load", UPDATE: "update", DELETION: "tombstones", ROLLBACK: "rollback"}
_straight: dict[Way, dict[str, Any]] = {}


@pytest.fixture(autouse=True)
def _one_by_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the children do it: in so small pieces that there is a second one to be ended in."""
    monkeypatch.setattr(tombstones, "_AT_ONCE", 1)
    monkeypatch.setattr(rollback, "_AT_ONCE", 1)
    monkeypatch.setattr(parallel, "_ROWS_PER_SESSION", 1)
    yield
    failpoints.arm("")


def ready(branch: Callable[..., Place], way: Way) -> Place:
    """Bring a branch to where the way begins."""
    place = branch(FIRST, missing=way.missing)
    for rows in way.before:
        place.holds(rows)
        chain.ingest(place.name)
    place.holds(way.now)
    return place


def straight(branch: Callable[..., Place], way: Way) -> dict[str, Any]:
    """What the way leaves where nothing ends it, made once per worker."""
    if way not in _straight:
        way.doing(ready(branch, way).name)
        _straight[way] = settled()
        forget_everything()
    return _straight[way]


def named(case: tuple[Way, End, str]) -> str:
    way, end, point = case
    return f"{WAYS[way]} {end.__name__} at {point}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_ended_there_and_gone_on_with_it_is_as_if_it_had_not_been(
    branch: Callable[..., Place], case: tuple[Way, End, str]
) -> None:
    way, end, point = case
    wanted = straight(branch, way)
    place = ready(branch, way)
    end(place, point, way.doing)
    if point != LAST:
        way.doing(place.name, run_id="resumed", holder="killed")
    assert settled() == wanted


def test_the_ways_have_what_they_are_meant_to_show(branch: Callable[..., Place]) -> None:
    deleted = straight(branch, DELETION)["activations"][-1]
    assert (deleted["kind"], deleted["missing"], deleted["tombstoned"]) == ("ingest", 2, 2)
    undone = straight(branch, ROLLBACK)
    assert undone["activations"][-1] | {"kind": "rollback", "undoes": 2, "valid": 6} == undone["activations"][-1]
    assert {row["op"] for row in undone["versions"] if row["activation"] == 3} == {"u", "d", "r"}


def test_every_point_of_the_code_has_a_kill_and_an_exception() -> None:
    assert len(CODE) > 30, "they were found"
    for wanted, elsewhere in ((killed, KILLED_ELSEWHERE), (raised, ())):
        cells = {*elsewhere, *(point for _, end, point in CASES if end is wanted)}
        assert {point.partition(":")[0] for point in cells} == CODE
