"""`ingest rejects`: every row that was set aside can be found, understood and taken back to where it came from."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ingest_project.codes import REJECTS
from ingest_project_tests.journey.conftest import FIRST, SECOND, Ran, write_csv, write_spec

Command = Callable[..., Ran]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "places.csv", FIRST)


@pytest.fixture
def ingested(command: Command, file: Path) -> str:
    name = f"rejecting {uuid4().hex[:8]}"
    command("branch", "apply", write_spec(file.with_suffix(".yaml"), name=name, location="places.csv"))
    assert command("run", name).code == 0
    return name


def test_it_says_how_many_why_and_what_to_do(command: Command, ingested: str) -> None:
    out = command("rejects", ingested).out
    assert f"of '{ingested}': 2 of 11 rows" in out
    for code in ("key_missing", "duplicate_key"):
        assert f"1  {code}: {REJECTS[code].meaning}; to do: {REJECTS[code].remedy}" in out
    assert "row 5  key -  key_missing" in out
    assert '"name":"no key"' in out
    assert "row 10  key 1  duplicate_key: row 1 has the same key and is newer" in out


def test_one_code_alone(command: Command, ingested: str) -> None:
    out = command("rejects", ingested, "--by", "duplicate_key").out
    assert "row 10 " in out
    assert "row 5 " not in out


def test_a_code_that_no_row_can_have(command: Command, ingested: str) -> None:
    ran = command("rejects", ingested, "--code", "nonsense")
    assert ran.code == 2
    assert "'nonsense' is not one of 'malformed_row', " in ran.err


def test_all_of_them_for_a_script(command: Command, ingested: str, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in command("rejects", ingested, "--json").out.splitlines()]
    assert [(line["row"], line["key"], line["errors"][0]["code"]) for line in lines] == [
        (5, None, "key_missing"),
        (10, "1", "duplicate_key"),
    ]
    assert json.loads(lines[1]["raw"])["name"] == "Alpha, older"
    target = tmp_path / "out.jsonl"
    assert command("rejects", ingested, "--export", target).out.startswith("2 rows of activation ")
    assert [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()] == lines


def test_a_limit_points_to_the_rest(command: Command, ingested: str) -> None:
    out = command("rejects", ingested, "--limit", "1").out
    assert "row 5 " in out
    assert "row 10 " not in out
    assert f"all of them: ingest rejects '{ingested}' --export FILE" in out
    assert f"once the branch file is mended: ingest rejects replay '{ingested}'" in out


def test_an_older_activation_by_its_number(command: Command, ingested: str, file: Path) -> None:
    first = command("status", ingested, "--json").json[0]["activations"][0]["activation"]
    write_csv(file, SECOND)
    command("run", ingested)
    assert "2 of 11 rows" in command("rejects", ingested).out
    assert "row 10  key 12" not in command("rejects", ingested, "--activation", first).out
    assert "name_missing" in command("rejects", ingested).out


def test_before_anything_was_normalized(command: Command, file: Path) -> None:
    name = f"fresh {uuid4().hex[:8]}"
    command("branch", "apply", write_spec(file.with_suffix(".yaml"), name=name, location="places.csv"))
    ran = command("rejects", name)
    assert ran.code == 2
    assert "no activation of this branch was normalized yet" in ran.err


def test_a_plan_is_a_dry_run(command: Command, ingested: str, file: Path) -> None:
    write_csv(file, SECOND)
    planned = command("plan", ingested, "--json")
    assert (planned.code, planned.json["state"], planned.json["plan"]["updated"]) == (0, "planned", 2)
    lines = [line.split() for line in command("plan", ingested).out.splitlines()]
    assert ["inserted", "2", "new", "keys"] in lines
    assert ["updated", "2", "other", "content,", "and", "not", "older"] in lines
    assert next(line for line in lines if line[:1] == ["missing"])[:2] == ["missing", "2"]
    assert ["name", "2", "Beta", "→", "Beta", "renamed"] in lines
    assert ["name", "1"] in lines
    assert ["attributes", "1"] in lines
    (why,) = [line for line in lines if line[:1] == ["name_missing"]]
    assert why[1:] == ["1", *REJECTS["name_missing"].meaning.split(), "→", *REJECTS["name_missing"].remedy.split()]


def test_a_plan_as_json_has_its_errors_as_json_too(command: Command) -> None:
    ran = command("plan", "nobody", "--json")
    assert (ran.code, ran.json["exit_code"]) == (2, 2)
    assert "no branch 'nobody'" in ran.json["error"]
