"""A dry run says what would change and changes nothing; the run after it uses what was read."""

from collections.abc import Callable

import dagster as dg

from ingest_project.defs.checkpoints import Checkpoints
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, REQUESTS, SNAPSHOT, Line, Run
from ingest_project_tests.journey.conftest import FIRST, SECOND

TABLES = ("core.items", "core.item_versions", "core.embedding_requests", "ingest.batches")


def counted(place: Line) -> dict[str, object]:
    return {table: place.ask(f"select count(*) from {table}")[0]["count"] for table in TABLES}


def plan_of(run: Run) -> dict[str, object]:
    (found,) = run.observations(CORE)
    return found


def test_it_observes_the_plan_materializes_no_items_and_skips_the_requests(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.holds(SECOND)
    before = counted(place)
    run = place.run(dry_run=True)
    assert run.success
    assert run.materialized == [SNAPSHOT, NORMALIZED]
    assert run.skipped == [REQUESTS]
    assert counted(place) == before
    assert place.states == ["done", "planned"]
    plan = plan_of(run)
    assert plan["dry_run"] is True
    assert plan["activation"] == place.activations[1]["activation_id"]
    assert {name: plan[name] for name in ("inserted", "updated", "touched", "unchanged", "stale", "missing")} == {
        **{"inserted": 2, "updated": 2, "touched": 1, "unchanged": 3, "stale": 1, "missing": 2},
    }


def test_the_plan_shows_columns_and_samples(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.holds(SECOND)
    plan = plan_of(place.run(dry_run=True))
    page = str(plan["report"]).splitlines()
    assert any(row.split() == ["|", "name", "|", "1", "|"] for row in page)
    (sample,) = [row for row in page if "Beta renamed" in row]
    assert [cell.strip() for cell in sample.split("|")[1:-1]] == ["name", "2", "Beta", "→", "Beta renamed"]
    assert any("dry run" in row for row in page)
    assert any("2 inserted, 2 updated, 1 touched, 3 unchanged, 1 stale" in row for row in page)


def test_the_plan_is_kept_with_the_activation_and_comes_true(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.holds(SECOND)
    place.run(dry_run=True)
    planned = place.activations[1]["plan"]
    place.run()
    became = place.activations[1]
    assert became["state"] == "done"
    names = ("inserted", "updated", "touched", "unchanged", "stale", "missing")
    assert {name: planned[name] for name in names} == {name: became[name] for name in names}


def test_the_run_after_it_lets_it_through_and_reads_nothing_again(line: Callable[..., Line]) -> None:
    place = line()
    dry = place.run(dry_run=True)
    parts = place.parts
    assert len(parts) == 6
    place.file.unlink()
    run = place.run()
    assert run.success
    assert place.states == ["done"]
    assert place.parts == parts
    assert (len(place.items), place.requests) == (9, 9)
    assert run.metadata(SNAPSHOT)["pages"] == 0
    assert run.metadata(SNAPSHOT)["preview"] == dry.metadata(SNAPSHOT)["preview"]
    assert run.tags["ingest/activation"] == dry.tags["ingest/activation"]


def test_checkpoints_of_what_was_done_before_keep_their_rows(line: Callable[..., Line]) -> None:
    place = line()
    place.run(dry_run=True)
    run = place.run()
    for asset in (SNAPSHOT, NORMALIZED):
        found = Checkpoints(place.instance).get(place.name, asset)
        assert found is not None
        assert (found.rows, found.complete, found.run_id) == (11, True, run.id)


def test_after_a_change_of_the_source_the_plan_is_superseded(line: Callable[..., Line]) -> None:
    place = line()
    place.run(dry_run=True)
    place.holds(SECOND)
    place.run()
    assert place.states == ["superseded", "done"]
    assert "Beta renamed" in place.items.values()


def test_it_can_be_repeated(line: Callable[..., Line]) -> None:
    place = line()
    first, second = place.run(dry_run=True), place.run(dry_run=True)
    assert plan_of(first)["inserted"] == plan_of(second)["inserted"] == 9
    assert place.states == ["planned"]


def test_of_an_activation_that_a_run_left_open_it_plans_and_leaves_it_to_a_run(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED)
    assert plan_of(place.run(dry_run=True))["inserted"] == 9
    assert place.states == ["accepted"]


def test_of_items_that_are_in_it_says_that_nothing_would_change(line: Callable[..., Line]) -> None:
    place = line(FIRST)
    place.run()
    plan = plan_of(place.run(CORE, dry_run=True))
    assert (plan["inserted"], plan["updated"], plan["touched"], plan["unchanged"]) == (0, 0, 0, 9)
    assert place.states == ["done"]


def test_a_planned_activation_is_no_materialization_of_items(line: Callable[..., Line]) -> None:
    place = line()
    place.run(dry_run=True)
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(CORE), asset_partitions=[place.name])
    assert place.instance.fetch_materializations(wanted, limit=1).records == []
