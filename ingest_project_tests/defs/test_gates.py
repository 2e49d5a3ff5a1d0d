"""Gates in a run: blocked before anything is in core, shown as checks, accepted and gone on with."""

import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import duckdb
import pytest

from ingest_project.branches import gates
from ingest_project.normalize import profile, profiles
from ingest_project.normalize.profile import profile_parts
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, REQUESTS, SNAPSHOT, Line, Run

Rows = list[Sequence[str]]
DAY = 86_400


def places(count: int, first: int = 0, name: str = "Place") -> Rows:
    return [
        (f"{at}", f"{name} {at}", "Rome", "IT", "41.9", "12.5", "2024-01-01T00:00:00Z", "red")
        for at in range(first, first + count)
    ]


def accept(line: Line, *codes: str) -> None:
    with session() as connection:
        gates.accept(connection, line.activations[-1]["activation_id"], codes, why="we know", who="me")


def checks(run: Run) -> dict[str, bool]:
    """Of this run, by name, as Dagster keeps them for the branch."""
    return {one.check_name: one.passed for one in told_checks(run)}


def described(run: Run) -> dict[str, str]:
    return {one.check_name: one.description or "" for one in told_checks(run)}


def told_checks(run: Run) -> list[dg.AssetCheckEvaluation]:
    found = run.instance.all_logs(run.id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    told = [event.dagster_event.event_specific_data for event in found if event.dagster_event]
    assert all(one.partition == run.result.dagster_run.tags["dagster/partition"] for one in told)
    return told


def test_a_run_shows_every_gate_as_a_check_of_its_branch(line: Callable[..., Line]) -> None:
    place = line()
    run = place.run()
    assert run.success
    assert set(checks(run)) == {
        *("freshness", "contract", "reject_ratio", "duplicate_ratio", "null_ratio", "shrink_ratio"),
        *("rekeyed_ratio", "change_ratio"),
    }
    assert all(checks(run).values())
    assert place.ask("select count(*) from ingest.gates g join ingest.activations a using (activation_id) "
                     "where a.branch_id = %(branch_id)s and not g.passed")[0]["count"] == 0  # fmt: skip


def test_half_a_file_is_blocked_accepted_and_gone_on_with(line: Callable[..., Line]) -> None:
    place = line(places(120))
    assert place.run(batch_size=50).success
    place.holds(places(50, name="Other"))
    blocked = place.run(batch_size=50)
    assert (blocked.told["error"], blocked.told["exit_code"], blocked.retries) == ("GateBlocked", 4, 0)
    assert "50 valid rows where activation" in blocked.told["what"]
    assert checks(blocked)["shrink_ratio"] is False
    assert checks(blocked)["reject_ratio"] is True
    assert place.states == ["done", "blocked"]
    assert set(place.items) == {str(at) for at in range(120)}
    before = place.parts

    accept(place, "shrink_ratio")
    run = place.run(batch_size=50)
    assert run.success
    assert place.states == ["done", "done"]
    assert place.parts == before, "nothing was read or normalized again"
    assert place.items["7"] == "Other 7"


def test_an_accepted_state_is_ingested_although_the_source_moved(line: Callable[..., Line]) -> None:
    place = line(places(120))
    place.run(batch_size=50)
    place.holds(places(50, name="Other"))
    place.run(batch_size=50)
    accept(place, "shrink_ratio")
    place.holds(places(49, name="Third"))
    assert place.run(batch_size=50).success
    assert place.states == ["done", "done"]
    assert place.items["7"] == "Other 7"


@pytest.mark.parametrize("selection", [(CORE, REQUESTS), (NORMALIZED, CORE)])
def test_nothing_walks_around_a_gate(line: Callable[..., Line], selection: tuple[str, ...]) -> None:
    place = line(places(3), limits={"max_null_ratio": {"phone": 0.5}})
    blocked = place.run()
    assert blocked.told["what"] == "phone is null in 3 of 3 items: 100.0% with a limit of 50.0%"
    run = place.run(*selection, activation=place.activations[0]["activation_id"])
    assert (run.told["error"], run.told["exit_code"]) == ("GateBlocked", 4)
    assert not place.run(*selection).success
    assert (place.items, place.states) == ({}, ["blocked"])


@pytest.mark.parametrize(
    ("field", "lost"),
    [
        ("locality", lambda row: (*row[:2], "", *row[3:])),
        ("source_updated_at", lambda row: (*row[:6], "1 January 2024", row[7])),
    ],
)
def test_what_most_items_had_and_next_to_none_has_is_blocked(
    line: Callable[..., Line], field: str, lost: Callable[[Sequence[str]], Sequence[str]]
) -> None:
    place = line(places(120), contract="evolve")
    place.run()
    place.holds([*map(lost, places(115)), *places(5, first=115)])
    blocked = place.run()
    assert blocked.told["error"] == "GateBlocked"
    assert f"{field} is null in 115 of 120 items where it was in 0 of 120 of activation" in blocked.told["what"]
    assert blocked.told["what"].endswith("95.8% with a limit of 95.0%")
    assert checks(blocked)["null_ratio"] is False
    accept(place, f"null_ratio.{field}")
    assert place.run().success


@pytest.mark.parametrize(
    ("count", "limits"), [(99, {}), (120, {"max_null_ratio": {"locality": 1, "source_updated_at": 1}})]
)
def test_what_is_lost_of_few_or_may_be_passes(line: Callable[..., Line], count: int, limits: dict[str, Any]) -> None:
    place = line(places(count), limits=limits)
    place.run()
    place.holds([(*row[:2], "", *row[3:6], "", row[7]) for row in places(count)])
    assert place.run().success


def test_what_few_items_had_says_nothing_of_many(line: Callable[..., Line]) -> None:
    place = line(places(3), limits={"max_shrink_ratio": 1})
    place.run()
    place.holds([(*row[:2], "", *row[3:]) for row in places(120)])
    assert place.run().success


def test_what_most_items_never_had_may_go(line: Callable[..., Line]) -> None:
    some = [(*row[:2], row[2] if at < 59 else "", *row[3:]) for at, row in enumerate(places(120))]
    place = line(some)
    place.run()
    place.holds([(*row[:2], "", *row[3:]) for row in some])
    assert place.run().success


def test_a_null_ratio_is_that_of_its_field(line: Callable[..., Line]) -> None:
    place = line(places(4), limits={"max_null_ratio": {"name": 0, "locality": 0, "phone": 1}})
    assert place.run().success


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hopeless_activation_is_stopped_after_ten_parts(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("INGEST_WORKERS", workers)
    settings.cache_clear()
    nameless = [(f"{at}", "", "Rome", "IT", "41.9", "12.5", "", "") for at in range(60)]
    place = line(nameless, limits={"max_reject_ratio": 0.5})
    blocked = place.run()
    assert "40 of the first 40 rows were rejected: 100.0% with a limit of 50.0%" in blocked.told["what"]
    assert len([part for asset, part in place.parts if asset == NORMALIZED]) == 10
    assert (place.states, place.activations[0]["normalized_at"]) == (["blocked"], None)
    accept(place, "reject_ratio")
    assert place.run().success
    assert len([part for asset, part in place.parts if asset == NORMALIZED]) == 15
    assert (place.states, place.activations[0]["rejected"]) == (["done"], 60)


def test_other_keys_than_the_last_time_are_blocked_before_the_first_row(line: Callable[..., Line]) -> None:
    place = line(places(110))
    place.run(batch_size=60)
    place.holds(places(110, first=1000))
    blocked = place.run(batch_size=60)
    assert blocked.failed_step == CORE
    assert "110 of 110 keys are new, and 110 of 110 old ones are missing: 100.0%" in blocked.told["what"]
    assert checks(blocked)["rekeyed_ratio"] is False
    assert (blocked.materialized, len(place.items), place.states) == ([SNAPSHOT, NORMALIZED], 110, ["done", "blocked"])
    accept(place, "rekeyed_ratio")
    assert place.run(batch_size=60).success
    assert len(place.items) == 220


def test_changes_are_limited_where_the_branch_says_so(line: Callable[..., Line]) -> None:
    place = line(places(10), limits={"max_change_ratio": 0.3})
    place.run()
    place.holds(places(10, name="Other"))
    planned = place.run(dry_run=True)
    assert planned.success
    assert place.activations[-1]["plan"]["blocked_by"] == {
        "change_ratio": "10 of 10 items would be updated: 100.0% with a limit of 30.0%"
    }
    told = checks(planned)
    assert (told["rekeyed_ratio"], told["change_ratio"]) == (True, False)
    blocked = place.run()
    assert (blocked.failed_step, blocked.told["error"]) == (CORE, "GateBlocked")
    assert place.items["7"] == "Place 7"


def test_a_key_that_is_none_is_blocked(line: Callable[..., Line]) -> None:
    rows = [("same", f"Place {at}", "Rome", "IT", "41.9", "12.5", "", "") for at in range(100)]
    place = line(rows)
    blocked = place.run(batch_size=50)
    assert "99 of 100 rows have the key of another row (column 'id'): 99.0%" in blocked.told["what"]


def test_a_small_file_is_judged_by_declared_limits_only(line: Callable[..., Line]) -> None:
    place = line([("same", f"Place {at}", "Rome", "IT", "41.9", "12.5", "", "") for at in range(99)])
    assert place.run(batch_size=50).success
    place.holds(places(1))
    assert place.run().success


def test_columns_that_changed_are_a_warning_of_the_branch(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.file.write_text(place.file.read_text().replace("color", "colour"))
    run = place.run()
    assert run.success
    assert checks(run)["contract"] is False
    assert "renamed: 'color' → 'colour'" in run.metadata(SNAPSHOT)["columns_changed"]
    assert place.activations[-1]["drift"]["changes"][0]["change"] == "renamed"


def test_a_frozen_contract_blocks_before_anything_is_kept(line: Callable[..., Line]) -> None:
    place = line(contract="freeze")
    place.run()
    before = place.parts
    place.file.write_text(place.file.read_text().replace("color", "colour"))
    run = place.run()
    assert (run.told["error"], run.told["exit_code"], run.retries) == ("GateBlocked", 4, 0)
    assert "had: id, name, city, country, lat, lon, updated, color\n" in run.told["what"]
    assert "has: id, name, city, country, lat, lon, updated, colour" in run.told["what"]
    assert "change contract in the branch file" in run.told["do"]
    assert f"`ingest accept {place.activations[-1]['activation_id']} contract --why" in run.told["do"]
    assert checks(run) == {"contract": False}
    assert (place.parts, place.states) == (before, ["done", "blocked"])
    place.applies(contract="evolve")
    assert place.run().success
    assert place.states == ["done", "superseded", "done"]


def test_other_columns_are_accepted_and_read(line: Callable[..., Line]) -> None:
    place = line(contract="freeze")
    place.run()
    place.file.write_text(place.file.read_text().replace("color", "colour"))
    place.run()
    accept(place, "contract")
    assert place.activations[-1]["state"] == "pinned"
    run = place.run()
    assert run.success
    assert place.states == ["done", "done"]
    assert "accepted: we know" in described(run)["contract"]
    place.run()
    assert place.states == ["done", "done", "done"], "these are the columns of the last time now"


def test_what_was_accepted_and_not_read_is_no_leave_for_what_is_there_now(line: Callable[..., Line]) -> None:
    place = line(contract="freeze")
    place.run()
    place.file.write_text(place.file.read_text().replace("color", "colour"))
    place.run()
    accept(place, "contract")
    place.file.write_text(place.file.read_text().replace("colour", "shade"))
    run = place.run()
    assert run.told["error"] == "GateBlocked"
    assert "'shade'" in run.told["what"]
    assert place.states == ["done", "superseded", "blocked"]


def test_a_source_that_is_too_old_is_accepted_and_read(line: Callable[..., Line]) -> None:
    place = line(limits={"max_age": "P2D"})
    os.utime(place.file, (time.time() - 3 * DAY,) * 2)
    blocked = place.run()
    assert blocked.told["error"] == "GateBlocked"
    assert re.search(r"last written 3 days, 0:00:\d\d before .*; limits.max_age is 2 days", blocked.told["what"])
    assert checks(blocked) == {"freshness": False}
    assert (place.states, place.parts, place.items) == (["blocked"], [], {})
    accept(place, "freshness")
    run = place.run()
    assert run.success
    assert place.states == ["done"]
    assert "accepted: we know" in described(run)["freshness"]


def test_a_source_that_is_delivered_anew_needs_nobody(line: Callable[..., Line]) -> None:
    place = line(limits={"max_age": "P2D"})
    os.utime(place.file, (time.time() - 3 * DAY,) * 2)
    place.run()
    os.utime(place.file)
    assert place.run().success
    assert place.states == ["superseded", "done"]


def test_a_run_shows_its_profile(line: Callable[..., Line]) -> None:
    place = line()
    shown = place.run().metadata(NORMALIZED)
    assert "| locality " in shown["profile"]
    assert "null_island" in shown["issues"]


@pytest.mark.parametrize("error", [duckdb.OutOfMemoryException("full"), MemoryError(), OSError(28, "No space left")])
def test_no_data_waits_for_a_profile_that_fails(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(paths: object) -> None:
        raise error

    monkeypatch.setattr(profile, "profile_parts", fail)
    run = line().run()
    assert run.success
    assert "profile" not in run.metadata(NORMALIZED)
    assert "no profile of this activation" in caplog.text


def test_the_profile_of_the_same_parts_is_taken_over(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line(places(9))
    first = place.run(batch_size=4).metadata(NORMALIZED)
    made: list[Sequence[str]] = []
    monkeypatch.setattr(profile, "profile_parts", lambda paths: made.append(paths) or profile_parts(paths))
    again = place.run(batch_size=4).metadata(NORMALIZED)
    assert (made, again["profile"]) == ([], first["profile"])
    assert kept_profile(place)["against"] == place.activations[0]["activation_id"]

    with session() as connection:
        connection.execute("update ingest.profiles set profile = profile || '{\"sampled\": 8}'")
    place.run(batch_size=4)
    assert len(made) == 1, "one of a sample is made anew"
    place.holds([*places(8), *places(1, first=8, name="Other")])
    place.run(batch_size=4)
    assert len(made) == 2, "and so is one of other items"


def kept_profile(place: Line) -> dict[str, Any]:
    with session() as connection:
        found = profiles.find(connection, place.activations[-1]["activation_id"])
    assert found is not None
    return found
