"""`ingest plan NAME --save`, then `ingest run --plan N`: exactly that, or why not."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from ingest_project_tests.journey.conftest import FIRST, SECOND, Ran, write_csv, write_spec

Command = Callable[..., Ran]


def test_a_saved_plan_is_applied_or_refused(command: Command, tmp_path: Path) -> None:
    name = f"plans {uuid4().hex[:8]}"
    file = write_csv(tmp_path / "rows.csv", FIRST)
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location=str(file))).code == 0
    assert command("run", name).code == 0

    write_csv(file, SECOND)
    ran = command("plan", name, "--save", "--json")
    number, plan = ran.json["activation"], ran.json["plan"]
    assert f"next: ingest run --plan {number} " in command("plan", name).out, "a second look takes nothing away"
    write_csv(file, FIRST)
    ran = command("run", "--plan", number)
    assert (ran.code, "the plan is not applied: the source changed" in ran.err) == (4, True)
    write_csv(file, SECOND)

    ran = command("plan", name, "--save", "--json")
    number = ran.json["activation"]
    ran = command("run", "--plan", number, "--json")
    assert ran.code == 0, ran.json["error"]
    counts = ("inserted", "updated", "touched", "unchanged", "stale")
    assert [ran.json[count] for count in counts] == [plan[count] for count in counts]
    assert ran.json["activation"] == number

    ran = command("run", "--plan", number)
    assert (ran.code, "it is not applied again" in ran.err) == (4, True)
    assert command("run", "--plan", number, "--dry-run").code == 2
    assert command("run").code == 2
