"""Which activation a selection works on: only one with branch_snapshot makes a new one."""

from collections.abc import Callable

import dagster as dg
import pytest

from ingest_project import failpoints
from ingest_project.postgres.connection import session
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, REQUESTS, SNAPSHOT, Line
from ingest_project_tests.journey.conftest import FIRST, SECOND


@pytest.mark.parametrize("asset", [NORMALIZED, CORE, REQUESTS])
def test_without_a_snapshot_there_is_nothing_to_work_on_and_the_failure_names_the_command(
    line: Callable[..., Line], asset: str
) -> None:
    place = line()
    run = place.run(asset)
    assert not run.success
    assert run.told["error"] == "ActivationUnknown"
    assert "`ingest run NAME`" in run.told["do"]
    assert run.retries == 0
    assert place.activations == [], "none is made on the way"
    assert place.holder is None


def test_asset_by_asset_is_the_same_as_all_at_once(line: Callable[..., Line]) -> None:
    place = line()
    for asset, state in ((SNAPSHOT, "snapshotted"), (NORMALIZED, "accepted"), (CORE, "committed"), (REQUESTS, "done")):
        run = place.run(asset)
        assert run.success
        assert run.materialized == [asset]
        assert place.states == [state]
    assert len(place.items) == place.requests == 9


def test_a_snapshot_of_what_is_unfinished_is_not_taken_twice(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT)
    parts = place.parts
    place.run(SNAPSHOT)
    assert (place.states, place.parts) == (["snapshotted"], parts)


def test_the_newest_whose_upstream_is_complete_is_taken(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.holds(SECOND)
    place.run(SNAPSHOT)
    assert place.run(CORE).success, "the first is the newest that is normalized"
    assert place.states == ["done", "snapshotted"]
    assert place.run(NORMALIZED).success
    assert place.states == ["done", "accepted"]
    assert place.run(CORE).metadata(CORE)["activation"] == place.activations[1]["activation_id"]


def test_items_alone_repair_what_went_missing_by_hand(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    before = place.items
    delete(place, "1")
    assert "1" not in place.items
    repaired = place.run(CORE)
    assert place.items == before
    told = repaired.metadata(CORE)
    assert told["activation"] == place.activations[0]["activation_id"]
    assert told["inserted"] == 9, "the accounting is that of the ingest"
    assert place.states == ["committed"], "its requests are due again"
    assert place.run(REQUESTS).success
    assert place.states == ["done"]
    assert place.requests == 9


def delete(place: Line, key: str) -> None:
    with session() as connection, connection.transaction():
        values = {"key": key, "branch_id": place.branch_id}
        mine = "select item_id from core.items where external_id = %(key)s and branch_id = %(branch_id)s"
        connection.execute(f"delete from core.embedding_requests where item_id in ({mine})", values)
        connection.execute("delete from core.items where external_id = %(key)s and branch_id = %(branch_id)s", values)


def test_a_repair_that_is_tried_again_is_still_a_repair(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED, CORE)
    before = place.items
    delete(place, "1")
    seen: list[str] = []

    def fail_once(name: str) -> None:
        if name == "batch_open" and not seen:
            seen.append(name)
            raise OSError("no space left on device")

    monkeypatch.setattr(failpoints, "reach", fail_once)
    run = place.run(CORE)
    assert (run.success, run.retries, len(seen)) == (True, 1, 1)
    assert place.items == before


def test_requests_alone_finish_what_is_committed(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED, CORE)
    assert (place.states, place.requests) == (["committed"], 0)
    run = place.run(REQUESTS)
    assert run.metadata(REQUESTS)["requests"] == 9
    assert (place.states, place.requests) == (["done"], 9)


def test_all_of_it_goes_on_with_what_is_committed_and_makes_nothing_new(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED, CORE)
    run = place.run()
    assert run.success
    assert place.states == ["done"]
    assert run.metadata(CORE)["inserted"] == 9


def test_an_activation_can_be_asked_for_by_its_number(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT)
    wanted = place.activations[0]["activation_id"]
    assert place.run(NORMALIZED, CORE, REQUESTS, activation=wanted).success
    assert place.states == ["done"]


def test_an_activation_of_another_branch_is_unknown(line: Callable[..., Line]) -> None:
    place, other = line(), line()
    other.run(SNAPSHOT)
    for selection in ((), (NORMALIZED,)):
        run = place.run(*selection, activation=other.activations[0]["activation_id"])
        assert run.told["error"] == "ActivationUnknown"
    assert other.states == ["snapshotted"]


@pytest.mark.parametrize("selection", [(), (NORMALIZED,), (CORE,), (REQUESTS,)])
def test_what_is_superseded_is_refused(line: Callable[..., Line], selection: tuple[str, ...]) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED)
    place.holds(SECOND)
    place.run()
    assert place.states == ["superseded", "done"]
    run = place.run(*selection, activation=place.activations[0]["activation_id"])
    assert run.told["error"] == "ActivationClosed"
    assert run.retries == 0
    assert "2" in place.items
    assert place.items["2"] == "Beta renamed"


@pytest.mark.parametrize("asset", [CORE, REQUESTS])
def test_what_a_newer_one_came_after_is_not_repaired(line: Callable[..., Line], asset: str) -> None:
    # Undated rows have no order but that of their activations: an old image could come back.
    undated = [(*row[:6], "", row[7]) for row in FIRST]
    place = line(undated)
    place.run()
    place.holds([(*row[:1], f"{row[1]}, newer", *row[2:]) for row in undated])
    place.run()
    before = place.items
    run = place.run(asset, activation=place.activations[0]["activation_id"])
    assert place.items == before
    assert not run.success
    assert run.told["error"] == "ActivationClosed"
    assert str(place.activations[1]["activation_id"]) in run.told["what"]


def test_what_is_blocked_is_not_taken_by_items_alone(line: Callable[..., Line]) -> None:
    place = line(limits={"max_reject_ratio": 0.1})
    run = place.run()
    assert (run.failed_step, run.told["error"], run.told["exit_code"]) == (NORMALIZED, "GateBlocked", 4)
    assert place.run(CORE).told["error"] == "ActivationUnknown"
    asked = place.run(CORE, activation=place.activations[0]["activation_id"])
    assert asked.told["error"] == "GateBlocked"
    assert asked.told["what"] == "2 of 11 rows were rejected: 18.2% with a limit of 10.0%"
    assert (place.states, place.items) == (["blocked"], {})


def test_what_is_blocked_meanwhile_is_refused_in_postgres(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED)

    def block(name: str) -> None:
        if name == "probed":
            with session() as connection:
                connection.execute(
                    "update ingest.activations set state = 'blocked' where branch_id = %s", (place.branch_id,)
                )

    monkeypatch.setattr(failpoints, "reach", block)
    run = place.run(CORE)
    assert (run.told["error"], run.retries) == ("GateBlocked", 0)
    assert (place.states, place.items) == (["blocked"], {})


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"batch_size": 1_000_001}, {"activation": 0}])
def test_options_out_of_range_start_nothing(line: Callable[..., Line], option: dict[str, int]) -> None:
    place = line()
    with pytest.raises(dg.DagsterError) as refused:
        place.run(raises=True, **option)
    assert next(iter(option)) in str(refused.value.__cause__)
    assert place.activations == []


def test_parts_have_as_many_rows_as_the_run_was_told(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT, batch_size=5)
    assert len(place.parts) == 3
    place.run(batch_size=1)
    assert len(place.parts) == 6, "parts that are there keep their size"
