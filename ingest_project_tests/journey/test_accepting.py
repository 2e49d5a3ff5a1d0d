"""From blocked to accepted on the command line: what a person sees at each step."""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ingest_project.normalize import profile
from ingest_project.postgres.connection import session
from ingest_project_tests.journey.conftest import FIRST, Ran, write_csv, write_spec

Command = Callable[..., Ran]


@pytest.fixture
def name() -> str:
    return f"accepting {uuid4().hex[:8]}"


def test_a_blocked_activation_is_accepted_and_ingested(command: Command, name: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", FIRST)
    limits = {"max_reject_ratio": 0.1, "max_null_ratio": {"phone": 0.5}}
    command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location=str(file), limits=limits))
    blocked = command("run", name)
    assert blocked.code == 4
    state = command("status", name, "--json").json[0]["activations"][0]
    number = str(state["activation"])
    assert f"`ingest accept {number} null_ratio.phone reject_ratio --why '...'`" in blocked.err
    assert {gate["code"]: gate["passed"] for gate in state["gates"]} == {
        **{"reject_ratio": False, "null_ratio.phone": False},
        "duplicate_ratio": True,
    }

    assert command("accept", number, "reject_ratio").code == 2
    assert command("accept", number, "reject_ratio", "--why", " ").code == 2
    assert command("accept", number, "shrink_ratio", "--why", "x").code == 2
    first = command("accept", number, "reject_ratio", "--why", "they are test rows", "--by", "Ada")
    assert f"still blocked by null_ratio.phone; next: ingest accept {number} null_ratio.phone" in first.out
    again = command("run", name, "--activation", number)
    assert again.code == 4
    assert "phone is null in" in again.err
    assert "rows were rejected" not in again.err
    second = command("accept", number, "null_ratio.phone", "--why", "they have none", "--by", "Ada", "--json").json
    assert second == {"activation": int(number), "branch": name, "state": "accepted", "blocked_by": []}

    told = command("run", name, "--json").json
    assert (told["activation"], told["state"], told["inserted"]) == (int(number), "done", 9)
    assert "accepted: reject_ratio, 18.2% with a limit of 10.0%, by Ada on " in command("status", name).out
    assert command("accept", number, "reject_ratio", "--why", "x").code == 2


def test_a_profile_on_the_terminal_and_for_scripts(command: Command, name: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", FIRST)
    command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location=str(file)))
    assert command("profile", name).code == 2
    command("run", name)
    shown = command("profile", name)
    assert shown.code == 0
    assert "locality" in shown.out
    assert "null everywhere: category" in shown.out
    assert "null_island" in shown.out
    assert command("profile", name, "--json").json["rows"] == 10
    write_csv(file, FIRST[:2])
    command("run", name)
    again = command("profile", name)
    assert "against activation" in again.out
    assert "null_island" in again.out  # gone since


def test_a_profile_says_what_is_an_estimate_and_what_was_sampled(command: Command, name: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", FIRST)
    command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location=str(file)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(profile, "_MAX_COUNTED", 3)
        command("run", name)
    shown = command("profile", name)
    assert "10 items\n" in shown.out
    assert re.search(r"^  name .* ~\d+ ", shown.out, re.MULTILINE)
    assert re.search(r"^  country_code .* ~\d+ ", shown.out, re.MULTILINE)
    with session() as connection:
        kept = "update ingest.profiles set profile = profile || '{\"sampled\": 8}'"
        connection.execute(kept)
    assert "10 items, values of 8 of them\n" in command("profile", name).out


def test_codes_are_told(command: Command) -> None:
    assert "gate    shrink_ratio: " in command("codes").out
    assert "to do: export the source as UTF-8" in command("codes", "mojibake_repaired").out
    assert command("codes", "--json").json[0]["kind"] == "reject"
    assert command("codes", "nonsense").code == 2
