"""Promise 1: killed at any instant and run again, the tables equal those of an uninterrupted run."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest_project.postgres.connection import session
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.pipeline import ingest
from ingest_project_tests.journey.states import rows, state

ROOT = Path(__file__).resolve().parents[2]
EVERYWHERE = (
    *("activation_claimed", "pinned", "part_written_not_renamed", "part_stored:2", "part_listed", "part_listed:3"),
    *("snapshot_ended", "normalized_part_listed", "normalized_part_listed:2", "duplicates_decided"),
    *("normalization_ended", "probed", "batch_open:2", "batch_inserted", "batch_row:2", "batch_committed"),
    *("batch_committed:2", "all_batches", "activation_committed", "requests_derived", "activation_done"),
)
ON_UPDATE = ("batch_staged", "batch_locked", "batch_history", "batch_updated:2")

_straight: dict[int, dict[str, Any]] = {}


def killed(place: Place, failpoint: str, run_id: str = "killed") -> None:
    """Run the branch in a process that ends at the failpoint as by a power cut."""
    done = subprocess.run(
        [sys.executable, "-m", "ingest_project_tests.journey.pipeline", place.name, "4", run_id],
        cwd=ROOT,
        env={**os.environ, "INGEST_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"did not get to {failpoint}: {done.stderr}"


def settled() -> dict[str, Any]:
    with session() as connection:
        return state(connection)


def straight(place: Place, states: int) -> None:
    """Ingest the first states of the branch without disturbance."""
    for rows_now in (FIRST, SECOND)[:states]:
        place.holds(rows_now)
        ingest(place.name)


@pytest.fixture(scope="module")
def expected() -> dict[int, dict[str, Any]]:
    """What undisturbed runs came to, by the number of activations; filled by the first test that needs it."""
    return _straight


@pytest.mark.parametrize("failpoint", EVERYWHERE)
def test_a_first_load_killed_anywhere_ends_as_if_it_had_not_been(
    branch: Callable[..., Place], failpoint: str, undisturbed: dict[int, dict[str, Any]]
) -> None:
    place = branch(FIRST)
    killed(place, failpoint)
    if failpoint != "activation_done":
        ingest(place.name, run_id="resumed")
    assert settled() == undisturbed[1]


@pytest.mark.parametrize("failpoint", (*EVERYWHERE, *ON_UPDATE))
def test_an_update_killed_anywhere_ends_as_if_it_had_not_been(
    branch: Callable[..., Place], failpoint: str, undisturbed: dict[int, dict[str, Any]]
) -> None:
    place = branch(FIRST)
    straight(place, 1)
    place.holds(SECOND)
    killed(place, failpoint)
    if failpoint != "activation_done":
        ingest(place.name, run_id="resumed")
    assert settled() == undisturbed[2]


def test_the_states_have_what_they_are_meant_to_show(undisturbed: dict[int, dict[str, Any]]) -> None:
    done = undisturbed[2]["activations"][1]
    assert {key: done[key] for key in ("rows_read", "rejected", "valid", "missing")} == {
        "rows_read": 11,
        "rejected": 2,
        "valid": 9,
        "missing": 2,
    }
    counts = ("inserted", "updated", "touched", "unchanged", "stale")
    assert [done[key] for key in counts] == [2, 2, 1, 3, 1]


def test_killed_again_and_again_at_random_it_still_ends_right(
    branch: Callable[..., Place], undisturbed: dict[int, dict[str, Any]]
) -> None:
    place = branch(FIRST)
    chance = random.Random(20261123)
    for rows_now in (FIRST, SECOND):
        place.holds(rows_now)
        for attempt in range(5):
            _killed_after(place, chance.uniform(0.5, 2.5), f"random-{attempt}")
        if _is_open():
            ingest(place.name, run_id="at last")
    assert settled() == undisturbed[2]


@pytest.mark.long
def test_a_hundred_random_kills(branch: Callable[..., Place], undisturbed: dict[int, dict[str, Any]]) -> None:
    place = branch(FIRST)
    chance = random.Random(7)
    for rows_now in (FIRST, SECOND):
        place.holds(rows_now)
        for attempt in range(50):
            if attempt == 0 or _is_open():
                _killed_after(place, chance.uniform(0.6, 1.6), f"random-{attempt}")
        if _is_open():
            ingest(place.name, run_id="at last")
    assert settled() == undisturbed[2]


def _killed_after(place: Place, seconds: float, run_id: str) -> None:
    if run_id != "random-0" and not _is_open():
        return  # an earlier attempt has got through
    child = subprocess.Popen(
        [sys.executable, "-m", "ingest_project_tests.journey.pipeline", place.name, "4", run_id], cwd=ROOT
    )
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _is_open() -> bool:
    with session() as connection:
        found = rows(connection, "select state from ingest.activations order by activation_id desc limit 1")
        pinned = rows(connection, "select pin from ingest.activations order by activation_id desc limit 1")
    return not found or found[0]["state"] != "done" or not pinned


@pytest.fixture
def undisturbed(
    branch: Callable[..., Place], fresh_database: str, expected: dict[int, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """The states after one and after two undisturbed activations, made once per worker in a database of their own."""
    if not expected:
        place = branch(FIRST, name="places")
        straight(place, 1)
        expected[1] = settled()
        straight_second(place)
        expected[2] = settled()
        _forget_everything()
    return expected


def straight_second(place: Place) -> None:
    place.holds(SECOND)
    ingest(place.name)


def _forget_everything() -> None:
    # The test goes on in the same database, as if nothing had been there.
    with session() as connection:
        connection.execute(
            "truncate ingest.sources, ingest.branches, ingest.activations, ingest.parts, ingest.batches, "
            "ingest.rejects, ingest.leases, core.items, core.item_versions, core.embedding_requests restart identity"
        )
