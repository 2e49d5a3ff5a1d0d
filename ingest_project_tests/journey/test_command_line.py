"""`ingest` as a person or a script meets it: what it prints, what it returns, what it leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ingest_project import failpoints
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import head
from ingest_project.settings import settings
from ingest_project_tests.journey.conftest import FIRST, SECOND, Ran, write_csv, write_spec
from ingest_project_tests.journey.states import rows

Command = Callable[..., Ran]
COUNTS = ("rows_read", "rejected", "valid", "inserted", "updated", "touched", "unchanged", "stale", "missing")


@pytest.fixture
def name() -> str:
    return f"places-{uuid4().hex[:8]}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "places.csv", FIRST)


@pytest.fixture
def registered(command: Command, name: str, file: Path) -> str:
    spec = write_spec(file.with_suffix(".yaml"), name=name, location="places.csv")
    assert command("branch", "apply", spec).code == 0
    return name


def items(name: str) -> dict[str, str]:
    query = "select i.external_id, i.name from core.items i join ingest.branches b using (branch_id) where b.name = %s"
    with session() as connection:
        return dict(connection.execute(query, (name,)).fetchall())


def test_from_a_file_to_items(command: Command, registered: str) -> None:
    ran = command("run", registered, "--batch-size", "4", "--json")
    assert ran.code == 0, ran.err
    told = ran.json
    assert [told[count] for count in COUNTS] == [11, 2, 9, 9, 0, 0, 0, 0, 0]
    assert told["state"] == "done"
    assert told["rejects"] == {"duplicate_key": 1, "key_missing": 1}
    assert told["requests"] == 9
    assert set(items(registered)) == {"1", "2", "3", "4", "6", "7", "8", "9", "11"}
    assert items(registered)["1"] == "Alpha"


def test_a_second_run_changes_nothing_and_says_so(command: Command, registered: str) -> None:
    first = command("run", registered)
    assert f"'{registered}' is done (run " in first.out
    assert "9 inserted" in first.out
    assert f"ingest rejects {registered}" in first.out
    assert f"ingest embed run {registered}" in first.out
    second = command("run", registered)
    assert second.code == 0
    assert "nothing changed in core.items" in second.out
    assert "ingest embed run" not in second.out
    assert "9 unchanged" in second.out


def test_a_dry_run_writes_nothing_and_its_parts_are_used(command: Command, registered: str, file: Path) -> None:
    command("run", registered)
    write_csv(file, SECOND)
    before = items(registered)
    planned = command("run", registered, "--dry-run")
    assert planned.code == 0, planned.err
    assert "dry run" in planned.out
    counts = dict(line.split()[:2] for line in planned.out.splitlines() if len(line.split()) > 1)
    assert [counts[kind] for kind in COUNTS[3:]] == ["2", "2", "1", "3", "1", "2"]
    assert items(registered) == before
    really = command("run", registered, "--json")
    assert [really.json[count] for count in COUNTS] == [11, 2, 9, 2, 2, 1, 3, 1, 2]
    with session() as connection:
        made = rows(connection, "select count(*) from ingest.activations a join ingest.branches b using (branch_id) "
                                f"where b.name = '{registered}'")  # fmt: skip
    assert made[0]["count"] == 2


def test_a_dry_run_as_json_holds_the_plan(command: Command, registered: str) -> None:
    told = command("run", registered, "--dry-run", "--json").json
    assert told["state"] == "planned"
    assert told["plan"]["inserted"] == 9
    assert items(registered) == {}


def test_what_is_open_is_taken_up_by_number(command: Command, registered: str) -> None:
    said = command("branch", "activate", registered)
    number = said.out.split()[1]
    assert command("branch", "activate", registered).out == said.out
    assert command("run", registered, "--activation", number, "--json").json["activation"] == int(number)
    again = command("run", registered, "--activation", number)
    assert again.code == 4
    assert f"activation {number} is done and is not ingested again" in again.err


def test_an_activation_that_is_not_there(command: Command, registered: str) -> None:
    ran = command("run", registered, "--activation", "999999999")
    assert ran.code == 2
    assert "no activation 999999999" in ran.err
    assert "ingest status" in ran.err


@pytest.mark.usefixtures("pgvector")
def test_status_answers_what_to_run_next(command: Command, registered: str, file: Path) -> None:
    fresh = command("status", registered)
    assert f"next: ingest run {registered}" in fresh.out
    command("branch", "activate", registered)
    assert "has no run yet" in command("status", registered).out
    command("run", registered)
    assert f"next: ingest embed run {registered}" in command("status", registered).out
    command("embed", "run", registered)
    assert "nothing to do" in command("status", registered).out
    file.unlink()
    assert command("run", registered).code == 4
    refused = command("status", registered, "--json").json[0]
    assert refused["activations"][0]["state"] == "refused"
    assert refused["activations"][0]["error"]["code"] == "SourceMissing"
    assert refused["held_by"] is None
    text = command("status", registered).out
    assert "SourceMissing: there is nothing at" in text


def test_status_of_all_names_every_branch(command: Command, registered: str) -> None:
    assert registered in command("status").out
    assert registered in [one["branch"] for one in command("status", "--json").json]


def test_applying_twice_says_unchanged(command: Command, registered: str, file: Path) -> None:
    spec = file.with_suffix(".yaml")
    assert "unchanged" in command("branch", "apply", spec).out
    write_spec(spec, name=registered, location="places.csv", priority=3)
    assert "changed" in command("branch", "apply", spec).out
    assert command("branch", "show", registered, "--json").json["priority"] == 3


def test_list_and_show_say_every_default(command: Command, registered: str) -> None:
    listed = {one["name"]: one for one in command("branch", "list", "--json").json}
    shown = command("branch", "show", registered, "--json").json
    assert listed[registered] == {"state": "active", **shown}
    assert shown["missing"] == "keep"
    assert "time_zone: UTC" in command("branch", "show", registered).out


def test_the_schema_of_branch_files_is_json_schema(command: Command) -> None:
    schema = command("branch", "show", "--schema").json
    assert {"name", "source", "location", "key", "mapping", "limits"} <= set(schema["properties"])
    assert all("description" in field or "$ref" in field for name, field in schema["properties"].items()
               if name not in ("limits",))  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "x", "--batch-size", "0"),
        ("run", "x", "--activation", "one"),
        ("frobnicate",),
        ("branch", "show"),
    ],
)
def test_wrong_usage_is_2_and_shows_how(command: Command, words: tuple[str, ...]) -> None:
    ran = command(*words)
    assert ran.code == 2
    assert "where: ingest" in ran.err


@pytest.mark.parametrize("words", [("run", "nobody"), ("status", "nobody"), ("branch", "show", "nobody"),
                                   ("branch", "activate", "nobody")])  # fmt: skip
def test_a_branch_that_nobody_registered(command: Command, words: tuple[str, ...]) -> None:
    ran = command(*words)
    assert ran.code == 2
    assert "no branch 'nobody' is registered" in ran.err
    assert "ingest branch list" in ran.err


def test_lines_of_progress_where_there_is_no_terminal(command: Command, registered: str) -> None:
    err = command("run", registered, "--batch-size", "4").err
    assert "branch_snapshot: 11" in err
    assert "core_items: 9 of 9 rows" in err
    assert "\x1b[" not in err


def test_help_has_an_example_for_each_command(command: Command) -> None:
    for words in (
        ("run",),
        ("plan",),
        ("rejects",),
        ("history",),
        ("rollback",),
        ("status",),
        ("branch", "apply"),
        ("demo",),
        ("db", "psql"),
    ):
        assert "Example: ingest" in command(*words, "--help").out, words


def test_migrate_and_url(command: Command, database: str) -> None:
    assert command("db", "migrate").out == f"schema is at revision {head()}\n"
    assert command("db", "url").out.strip().startswith("postgresql://")
    assert command("db", "url", "--show-password").out.strip() == database


def test_a_setting_that_cannot_be_is_wrong_usage(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_BATCH_SIZE", "abc")
    settings.cache_clear()
    ran = command("status")
    assert ran.code == 2
    assert "INGEST_BATCH_SIZE: Input should be a valid integer" in ran.err


def test_errors_are_json_too_where_json_was_asked_for(command: Command) -> None:
    ran = command("run", "nobody", "--json")
    assert ran.code == 2
    assert (ran.json["exit_code"], ran.json["code"], ran.json["where"]) == (2, "BranchUnknown", {"branch": "nobody"})
    assert "no branch 'nobody'" in ran.json["error"]


def test_what_was_left_half_applied_is_finished_and_then_the_branch_as_it_is_now(
    command: Command, registered: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failpoints.arm("batch_committed:2!")
    assert command("run", registered, "--batch-size", "4").code == 1
    failpoints.arm("")
    write_csv(file, [*FIRST, ("99", "late", "", "", "", "", "2024-01-01", "")])
    told = command("run", registered, "--json")
    assert told.code == 0, told.err
    assert "half applied and is finished as it was read" in told.err
    assert "that was an earlier state of the branch" in told.err
    assert told.json["inserted"] == 1
    assert items(registered)["99"] == "late"


def test_a_dry_run_of_what_is_committed_already_says_its_plan(
    command: Command, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failpoints.arm("requests_derived!")
    assert command("run", registered).code == 1
    failpoints.arm("")
    planned = command("run", registered, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["plan"]["unchanged"] == 9


def test_the_plan_of_a_dry_run_is_told_of_an_activation_that_somebody_asked_for(
    command: Command, registered: str
) -> None:
    command("branch", "activate", registered)
    assert command("run", registered, "--dry-run", "--json").json["plan"]["inserted"] == 9


def test_json_goes_to_stdout_alone(command: Command, registered: str) -> None:
    ran = command("run", registered, "--json")
    assert len(ran.out.splitlines()) == 1
    assert json.loads(ran.out)["branch"] == registered
