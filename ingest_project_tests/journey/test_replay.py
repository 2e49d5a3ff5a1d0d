"""`ingest rejects replay`: after a spec was fixed, rows that were set aside become what they would have been."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ingest_project import failpoints
from ingest_project.branches.activations import Activation
from ingest_project.cli.replay import _lines
from ingest_project.cli.summary import Outcome
from ingest_project.postgres.connection import session
from ingest_project_tests.journey.conftest import FIRST, MAPPING, SECOND, Ran, write_csv, write_spec
from ingest_project_tests.journey.states import rows

Command = Callable[..., Ran]
BLANK = ("2", "", "Paris", "FR", "48.8", "2.3", "2024-05-01T00:00:00Z", "red")  # newer, and carried again later
UNNAMED = {**MAPPING, "name": {"column": "name", "default": "Unnamed"}}


@pytest.fixture
def disarmed() -> Iterator[None]:
    """Leave no failpoint armed."""
    yield
    failpoints.arm("")


def live(name: str) -> list[dict[str, Any]]:
    with session() as connection:
        return rows(
            connection,
            f"""select external_id, i.name, locality, attributes, source_updated_at, content_hash
                  from core.items i join ingest.branches b using (branch_id)
                 where b.name = '{name}' and deleted_at is null order by 1""",
        )


def marked(name: str) -> dict[str | None, bool]:
    with session() as connection:
        found = rows(
            connection,
            f"""select r.external_id, r.replayed_by is not null as done from ingest.rejects r
                  join ingest.activations a using (activation_id) join ingest.branches b using (branch_id)
                 where b.name = '{name}' and a.kind = 'ingest'""",
        )
    return {row["external_id"]: row["done"] for row in found}


def applied(command: Command, folder: Path, name: str, mapping: dict[str, Any]) -> None:
    spec = write_spec(folder / "b.yaml", name=name, location=str(folder / "rows.csv"), mapping=mapping)
    assert command("branch", "apply", spec).code == 0


def test_what_was_set_aside_is_what_it_would_have_been(command: Command, tmp_path: Path) -> None:
    name, good = f"replay {uuid4().hex[:8]}", f"good {uuid4().hex[:8]}"
    states = ((*FIRST[:1], BLANK, *FIRST[4:9]), SECOND)
    applied(command, tmp_path, name, MAPPING)
    for state in states:
        write_csv(tmp_path / "rows.csv", state)
        assert command("run", name).code == 0
    assert command("rejects", "replay", name).code == 0, "before the fix: all still fail"
    assert not any(marked(name).values())

    applied(command, tmp_path, name, UNNAMED)
    ran = command("rejects", "replay", name, "--json")
    assert ran.code == 0, ran.err
    told = ran.json
    assert told["replayed"] == {"fixed": 1, "key_superseded": 1, "duplicate_key": 0, "still_rejected": 1}
    assert (told["inserted"], told["missing"], told["state"]) == (1, 0, "done")
    assert "13" in {row["external_id"] for row in live(name)}
    assert {key: done for key, done in marked(name).items() if key != "12"} == {"2": True, None: False, "13": True}
    left = command("rejects", name).out
    assert "taken up again since: 1 of them" in left
    assert "key 13" not in left
    shown = command("rejects", "replay", name)
    assert "fixed: 0" in shown.out
    assert "still rejected: 1   key_missing 1" in shown.out

    applied(command, tmp_path, good, UNNAMED)
    for state in states:
        write_csv(tmp_path / "rows.csv", state)
        assert command("run", good).code == 0
    told_good = [row for row in live(good) if row["external_id"] == "13"]
    assert [row for row in live(name) if row["external_id"] == "13"] == told_good


def test_what_a_replay_took_up_that_was_rolled_back_can_be_replayed_again(command: Command, tmp_path: Path) -> None:
    name = f"replay {uuid4().hex[:8]}"
    applied(command, tmp_path, name, MAPPING)
    write_csv(tmp_path / "rows.csv", (*FIRST[:1], BLANK))
    assert command("run", name).code == 0
    applied(command, tmp_path, name, UNNAMED)
    first = command("rejects", "replay", name, "--json").json
    replayed = live(name)
    assert first["replayed"]["fixed"] == 1
    ran = command("rollback", str(first["activation"]))
    assert (ran.code, f"`ingest rejects replay '{name}'` takes the rows up again" in ran.out) == (0, True)
    assert not any(marked(name).values())
    assert len(live(name)) == len(replayed) - 1
    again = command("rejects", "replay", name, "--json").json
    assert again["replayed"] == first["replayed"]
    assert live(name) == replayed


def test_nothing_to_replay_is_said(command: Command, tmp_path: Path) -> None:
    name = f"replay {uuid4().hex[:8]}"
    applied(command, tmp_path, name, MAPPING)
    write_csv(tmp_path / "rows.csv", FIRST[:2])
    assert command("run", name).code == 0
    ran = command("rejects", "replay", name)
    assert (ran.code, "no row that was set aside is left to replay" in ran.err) == (2, True)
    assert "mended" not in command("rejects", name).out


TIMELESS = {"updated_at": None}
SAME = ("7", "Eta", "Rome", "Italy", "41.9", "12.5", "", "red")


def test_at_equal_rank_a_replayed_row_counts_as_come_when_it_came(command: Command, tmp_path: Path) -> None:
    """Set aside by the second activation: over what the first said, under what the third says."""
    name, file = f"replay {uuid4().hex[:8]}", tmp_path / "rows.csv"
    spec = {"name": name, "location": str(file), **TIMELESS}
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", **spec)).code == 0
    blank = [("1", "", *SAME[2:]), ("2", "", *SAME[2:]), ("3", "", *SAME[2:])]
    for state in (
        [("1", "First", *SAME[2:]), ("2", "First", *SAME[2:])],
        [*blank, SAME],
        [("2", "First", *SAME[2:]), SAME],
    ):
        write_csv(file, state)
        assert command("run", name).code == 0
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", **spec, mapping=UNNAMED)).code == 0
    told = command("rejects", "replay", name, "--json").json
    assert told["replayed"] == {"fixed": 2, "key_superseded": 1, "duplicate_key": 0, "still_rejected": 0}
    assert (told["inserted"], told["updated"]) == (1, 1)
    assert {row["external_id"]: row["name"] for row in live(name)} == {
        "1": "Unnamed",
        "2": "First",  # nothing was written for it by the third activation, which carried it all the same
        "3": "Unnamed",
        "7": "Eta",
    }


def test_killed_before_and_after_its_batch_each_row_is_replayed_once(
    command: Command, tmp_path: Path, disarmed: None
) -> None:
    name, file = f"replay {uuid4().hex[:8]}", tmp_path / "rows.csv"
    applied(command, tmp_path, name, MAPPING)
    write_csv(file, (FIRST[0], BLANK))
    assert command("run", name).code == 0
    applied(command, tmp_path, name, UNNAMED)
    for point in ("batch_row!", "all_batches!"):
        failpoints.arm(point)
        assert command(*(("rejects", "replay", name) if point == "batch_row!" else ("run", name))).code == 1
        failpoints.arm("")
        assert marked(name) == {"2": point == "all_batches!"}
    assert command("run", name).code == 0
    with session() as connection:
        (done,) = rows(
            connection,
            f"""select a.state, a.inserted, a.valid from ingest.activations a join ingest.branches b using (branch_id)
                 where b.name = '{name}' and a.kind = 'replay'""",
        )
    assert done == {"state": "done", "inserted": 1, "valid": 1}
    assert {row["external_id"]: row["name"] for row in live(name)} == {"1": "Alpha", "2": "Unnamed"}


def test_what_gave_way_is_told_in_words() -> None:
    known = dict.fromkeys((field.name for field in fields(Activation)), 0)
    done = Activation(**{**known, "activation_id": 7, "valid": 2, "rejected": 4, "rows_read": 6})  # pyright: ignore
    outcome = Outcome("r", 0, None, done, {"key_superseded": 1, "duplicate_key": 2, "name_missing": 1}, False)
    said = "\n".join(_lines("a branch", outcome, truncated=3))
    for line in ("superseded: 1 ", "gave way: 2 ", "still rejected: 1   name_missing 1", "not replayed: 3 "):
        assert line in said
    assert "next: ingest rejects 'a branch' --activation 7" in said
