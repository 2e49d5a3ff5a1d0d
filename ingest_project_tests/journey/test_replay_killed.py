"""A replay killed at any instant, by SIGKILL, and run again: it ends as one that was left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ingest_project.branches import registry
from ingest_project.postgres.connection import session
from ingest_project.torture import chain
from ingest_project_tests.journey import replaying
from ingest_project_tests.journey.conftest import MAPPING, spec_of, write_csv
from ingest_project_tests.journey.replaying import live, marks, told

UNNAMED = {**MAPPING, "name": {"column": "name", "default": "Unnamed"}}
REST = ("Rome", "IT", "41.9", "12.5")
STATES = (
    (  # its rejects are two parts of two: inserted and touched by none; superseded and still without a key
        ("1", "Alpha", *REST, "2024-01-01T00:00:00Z", "red"),
        ("2", "", *REST, "2024-01-01T00:00:00Z", "red"),
        ("3", "", *REST, "2024-01-01T00:00:00Z", "red"),
        ("4", "", *REST, "2024-01-01T00:00:00Z", "red"),
        ("", "", *REST, "2024-01-01T00:00:00Z", "red"),
    ),
    (  # and of this one more: updated and inserted
        ("4", "Delta", *REST, "2024-02-01T00:00:00Z", "red"),
        ("1", "", *REST, "2024-02-01T00:00:00Z", "blue"),
        ("5", "", *REST, "2024-02-01T00:00:00Z", "red"),
    ),
)
BEGINNING = ("part_stored:2", pytest.param("part_written_not_renamed", marks=pytest.mark.long))
RUNNING = ("duplicates_decided", "batch_history", "batch_row", "batch_committed", "batch_row:3", "activation_committed")
SELDOM = ("normalized_part_listed:2", "normalization_ended", "probed", "batch_inserted", "batch_committed:2")
ANYWHERE = (*RUNNING, *(pytest.param(point, marks=pytest.mark.long) for point in SELDOM))
OF_BRANCH = "from ingest.activations where branch_id = {branch}"
WRITTEN = "valid, inserted, updated, touched, unchanged, stale"
VERSIONS = """select i.external_id, v.version, v.op::text from core.item_versions v join core.items i using (item_id)
               where i.branch_id = {branch} order by 1, 2"""
_straight: dict[str, Any] = {}


def ready(folder: Path) -> str:
    """Name a branch that has set rows aside twice, and whose file is mended since."""
    file = folder / f"killed {uuid4().hex[:8]}.csv"
    given = {"name": file.stem, "source": file.stem, "limits": {"max_reject_ratio": 1}}
    for mapping, states in ((MAPPING, STATES), (UNNAMED, ())):
        with session() as connection:
            registry.apply_branch(connection, spec_of(file, **given, mapping=mapping))
        for state in states:
            write_csv(file, state)
            chain.ingest(file.stem)
    return file.stem


@pytest.fixture
def straight(database: str, home: Path, tmp_path: Path) -> dict[str, Any]:
    """What a replay leaves that nobody disturbs, made once per worker."""
    if not _straight:
        undisturbed = ready(tmp_path)
        replaying.replay(undisturbed)
        _straight.update(end(undisturbed))
    return _straight


def end(name: str) -> dict[str, Any]:
    """All that a replay leaves, by the order of activations and not their numbers."""
    ids = [one["activation_id"] for one in told(name, f"select activation_id {OF_BRANCH} order by 1")]
    mine = "join ingest.activations a using (activation_id) where a.branch_id = {branch} and a.kind = 'replay'"
    batch = ", ".join(f"b.{count}" for count in WRITTEN.split(", "))
    why = """select part, "row", errors -> 0 ->> 'code' as code from ingest.rejects"""
    return {
        "items": live(name),
        "marks": {(ids.index(one), row): by and ids.index(by) for (one, row), by in marks(name).items()},
        "rejects": told(name, f"{why} {mine} order by 1, 2"),
        "batches": told(name, f"select part, {batch} from ingest.batches b {mine} order by 1"),
        "versions": told(name, VERSIONS),
        "activations": told(
            name, f"select kind, state, missing, rows_read, rejected, {WRITTEN} {OF_BRANCH} order by activation_id"
        ),
    }


def test_the_replay_has_all_that_can_happen_to_a_row(straight: dict[str, Any]) -> None:
    done = straight["activations"][-1]
    assert {key: done[key] for key in ("rows_read", "rejected", "valid", "inserted", "updated", "missing")} == {
        "rows_read": 6,
        "rejected": 2,
        "valid": 4,
        "inserted": 3,
        "updated": 1,
        "missing": 0,
    }
    assert [one["code"] for one in straight["rejects"]] == ["key_superseded", "key_missing"]
    assert straight["marks"] == {(0, 2): 2, (0, 3): 2, (0, 4): 2, (0, 5): None, (1, 2): 2, (1, 3): 2}


@pytest.mark.parametrize("failpoint", ANYWHERE)
def test_killed_while_it_runs(straight: dict[str, Any], tmp_path: Path, failpoint: str) -> None:
    name = ready(tmp_path)
    replaying.begin(name)
    child = chain.start(name, run_id="killed", failpoint=failpoint)
    child.join(300)
    assert child.exitcode == -signal.SIGKILL, f"did not get to {failpoint}: {child.exitcode}"
    chain.ingest(name, run_id="resumed")
    assert end(name) == straight


@pytest.mark.parametrize("failpoint", BEGINNING)
def test_killed_while_it_is_made(straight: dict[str, Any], tmp_path: Path, failpoint: str) -> None:
    """Nothing is left of it but files that nobody lists: the same command makes it again."""
    name = ready(tmp_path)
    words = ["-c", f"from ingest_project_tests.journey import replaying; replaying.begin({name!r})"]
    environment = {**os.environ, "INGEST_FAILPOINT": failpoint}
    killed = subprocess.run([sys.executable, *words], env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    replaying.replay(name)
    assert end(name) == straight
