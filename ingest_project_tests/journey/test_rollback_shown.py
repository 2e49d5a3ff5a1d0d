"""`ingest rollback` from the command line: what it says, that a kill does no harm, what Dagster knows of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from dagster import AssetKey

from ingest_project.cli.instance import dagster_instance
from ingest_project.postgres.connection import session
from ingest_project_tests.journey.conftest import FIRST, SECOND, Ran, write_csv, write_spec
from ingest_project_tests.journey.states import rows

Command = Callable[..., Ran]


@pytest.fixture
def name(command: Command, tmp_path: Path) -> str:
    """A branch of which both states are ingested."""
    name = f"rollback {uuid4().hex[:8]}"
    file = write_csv(tmp_path / "rows.csv", FIRST)
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location=str(file))).code == 0
    assert command("run", name).code == 0
    write_csv(file, SECOND)
    assert command("run", name).code == 0
    return name


def newest(command: Command, name: str) -> dict[str, Any]:
    return command("status", name, "--json").json[0]["activations"][0]


def live(name: str) -> dict[str, str]:
    with session() as connection:
        found = connection.execute(
            """select external_id, i.name from core.items i join ingest.branches b using (branch_id)
                where b.name = %s and deleted_at is null""",
            (name,),
        ).fetchall()
    return dict(found)


def test_it_is_shown_beforehand_killed_done_and_told(command: Command, name: str, home: Path) -> None:
    second = newest(command, name)["activation"]
    ran = command("rollback", second, "--dry-run")
    assert ran.code == 0
    assert "would undo 4 changes" in ran.out
    assert "2 inserts withdrawn, 2 updates restored" in ran.out
    assert "1 touches stand" in ran.out
    assert live(name)["2"] == "Beta renamed"

    environment = {**os.environ, "INGEST_FAILPOINT": "rollback_batch_committed", "INGEST_HOME": str(home)}
    words = ["-c", "from ingest_project.cli import main; main()", "rollback", str(second)]
    killed = subprocess.run([sys.executable, *words], env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert f"next: ingest rollback {second}\n" in command("status", name).out

    ran = command("rollback", second, "--json")
    assert ran.code == 0, ran.err
    told = ran.json
    assert (told["kind"], told["inserts"], told["updates"], told["items"], told["left"]) == ("ingest", 2, 2, 4, 0)
    assert set(live(name)) == {"1", "2", "3", "4", "6", "7", "8", "9", "11"}
    assert live(name)["2"] == "Beta"
    assert f"rollback of {second}" in command("status", name).out
    assert f"(rollback of {second})" in command("history", name, "2").out
    with dagster_instance() as instance:
        (seen,) = instance.fetch_observations(AssetKey("core_items"), limit=1).records
    assert seen.partition_key == name
    assert seen.asset_observation is not None
    assert seen.asset_observation.metadata["activation"].value == second

    again = command("rollback", second)
    assert (again.code, "rolled back already" in again.err) == (4, True)
    assert command("run", name).code == 0
    assert live(name)["2"] == "Beta renamed", "the same data again brings it back"


def test_a_run_ends_a_rollback_that_was_killed_and_a_refusal_names_items(
    command: Command, name: str, home: Path
) -> None:
    second = newest(command, name)["activation"]
    first = command("status", name, "--json").json[0]["activations"][1]["activation"]
    ran = command("rollback", first)
    assert ran.code == 4
    assert f"'2' (by activation {second})" in ran.err
    assert "Roll those activations back first" in ran.err
    ran = command("rollback", first, "--dry-run")
    assert (ran.code, "would be refused" in ran.out) == (0, True)
    assert f"next: ingest rollback {second} --dry-run" in ran.out

    environment = {**os.environ, "INGEST_FAILPOINT": "rollback_begun", "INGEST_HOME": str(home)}
    words = ["-c", "from ingest_project.cli import main; main()", "rollback", str(second)]
    subprocess.run([sys.executable, *words], env=environment, check=False, capture_output=True)
    assert command("run", name).code == 0
    with session() as connection:
        states = rows(connection, "select kind, state from ingest.activations order by activation_id desc limit 3")
    assert [(row["kind"], row["state"]) for row in states] == [
        ("ingest", "done"),
        ("rollback", "done"),
        ("ingest", "rolled_back"),
    ]


def test_an_activation_that_is_not_there(command: Command, database: str) -> None:
    ran = command("rollback", 2**40)
    assert (ran.code, "there is no activation" in ran.err) == (2, True)
