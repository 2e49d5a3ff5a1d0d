"""Promise 1: killed at any instant and run again, the tables equal those of an uninterrupted run."""

import random
import signal
from collections.abc import Callable
from typing import Any

import pytest

from ingest_project.postgres.connection import session
from ingest_project.torture import chain
from ingest_project.torture.chain import Doing, ingest
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.states import rows, state

EVERYWHERE = (
    *("activation_claimed", "pinned", "part_written_not_renamed", "part_stored:2", "part_listed", "part_listed:3"),
    *("snapshot_ended", "normalized_part_listed", "normalized_part_listed:2", "duplicates_decided"),
    *("normalization_ended", "probed", "batch_open:2", "batch_inserted", "batch_row:2", "batch_committed"),
    *("batch_committed:2", "all_batches", "activation_committed", "requests_derived", "activation_done"),
)
ON_UPDATE = ("batch_staged", "batch_locked", "batch_history", "batch_updated:2")
STATES = (FIRST, SECOND)
Undisturbed = dict[int, dict[str, Any]]

_undisturbed: Undisturbed = {}


def killed_at(place: Place, failpoint: str, doing: Doing = ingest) -> None:
    """Run the branch in a process that ends at the failpoint as by a power cut."""
    child = chain.start(place.name, run_id="killed", failpoint=failpoint, doing=doing)
    child.join(300)
    assert child.exitcode == -signal.SIGKILL, f"did not get to {failpoint}: {child.exitcode}"


def killed_after(place: Place, seconds: float, run_id: str) -> int:
    """Run the branch and kill it after so long; 1 where that struck, 0 where it was done before."""
    child = chain.start(place.name, run_id=run_id)
    child.join(seconds)
    child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return int(child.exitcode != 0)


def settled() -> dict[str, Any]:
    with session() as connection:
        return state(connection)


def count_done() -> int:
    with session() as connection:
        return rows(connection, "select count(*) from ingest.activations where state = 'done'")[0]["count"]


def straight(place: Place, states: int) -> None:
    """Ingest the first states of the branch without disturbance."""
    for rows_now in STATES[:states]:
        place.holds(rows_now)
        ingest(place.name)


@pytest.fixture
def undisturbed(branch: Callable[..., Place]) -> Undisturbed:
    """The tables after one and after two undisturbed activations, made once per worker."""
    if not _undisturbed:
        place = branch(FIRST)
        for count, rows_now in enumerate(STATES, start=1):
            place.holds(rows_now)
            ingest(place.name)
            _undisturbed[count] = settled()
        forget_everything()
    return _undisturbed


def forget_everything() -> None:
    """Let the test go on in the same database as if nothing had been there."""
    with session() as connection:
        connection.execute(
            "truncate ingest.sources, ingest.branches, ingest.activations, ingest.parts, ingest.batches, "
            "ingest.rejects, ingest.leases, core.items, core.item_versions, core.embedding_requests "
            "restart identity cascade"
        )


@pytest.mark.parametrize("failpoint", EVERYWHERE)
def test_a_first_load_killed_anywhere_ends_as_if_it_had_not_been(
    undisturbed: Undisturbed, branch: Callable[..., Place], failpoint: str
) -> None:
    place = branch(FIRST)
    killed_at(place, failpoint)
    if failpoint != "activation_done":
        ingest(place.name, run_id="resumed")
    assert settled() == undisturbed[1]


@pytest.mark.parametrize("failpoint", (*EVERYWHERE, *ON_UPDATE))
def test_an_update_killed_anywhere_ends_as_if_it_had_not_been(
    undisturbed: Undisturbed, branch: Callable[..., Place], failpoint: str
) -> None:
    place = branch(FIRST)
    straight(place, 1)
    place.holds(SECOND)
    killed_at(place, failpoint)
    if failpoint != "activation_done":
        ingest(place.name, run_id="resumed")
    assert settled() == undisturbed[2]


def test_the_states_have_what_they_are_meant_to_show(undisturbed: Undisturbed) -> None:
    done = undisturbed[2]["activations"][1]
    assert {key: done[key] for key in ("rows_read", "rejected", "valid", "missing")} == {
        "rows_read": 11,
        "rejected": 2,
        "valid": 9,
        "missing": 2,
    }
    counts = ("inserted", "updated", "touched", "unchanged", "stale")
    assert [done[key] for key in counts] == [2, 2, 1, 3, 1]


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_at_random_it_still_ends_right(
    undisturbed: Undisturbed, branch: Callable[..., Place], seed: int
) -> None:
    assert ingest_under_fire(branch(FIRST), random.Random(seed), kills=6)
    assert settled() == undisturbed[2]


@pytest.mark.long
def test_two_hundred_random_kills(undisturbed: Undisturbed, branch: Callable[..., Place]) -> None:
    assert ingest_under_fire(branch(FIRST), random.Random(7), kills=100)
    assert settled() == undisturbed[2]


def ingest_under_fire(place: Place, chance: random.Random, kills: int) -> int:
    """Ingest each state, killed up to so often at random moments, then left alone; how many kills struck."""
    struck = 0
    for wanted, rows_now in enumerate(STATES, start=1):
        place.holds(rows_now)
        for attempt in range(kills):
            if count_done() < wanted:
                struck += killed_after(place, chance.uniform(0.01, 0.35), f"random-{attempt}")
        if count_done() < wanted:
            ingest(place.name, run_id="at last")
    return struck
