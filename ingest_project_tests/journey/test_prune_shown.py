"""`ingest prune` as a person and a script see it."""

from collections.abc import Callable
from pathlib import Path

from ingest_project.postgres.connection import session
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place, Ran


def test_prune_says_what_goes_and_the_branch_goes_on(
    branch: Callable[..., Place], command: Callable[..., Ran], home: Path
) -> None:
    place = branch(FIRST)
    assert command("run", place.name).code == 0
    place.holds(SECOND)
    assert command("run", place.name).code == 0
    with session() as connection:
        connection.execute("update ingest.activations set done_at = done_at - interval '30 days'")
    said = command("prune", "--dry-run")
    assert "1 would go" in said.out
    assert "parts    of activation 1" in said.out
    told = command("prune", "--json").json
    assert [one["first_activation"] for one in told["pruned"]] == [1]
    assert "0 went" in command("prune").out
    again = command("run", place.name, "--json").json
    assert (again["exit_code"], again["inserted"], again["updated"]) == (0, 0, 0)
