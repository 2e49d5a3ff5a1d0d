"""What a run of the job shows in Dagster: materializations, checkpoints, progress and tags."""

import json
import re
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from ingest_project.defs import progress
from ingest_project.defs.checkpoints import Checkpoint, Checkpoints
from ingest_project.defs.partitions import ensure_partition
from ingest_project.item import item_schema
from ingest_project.postgres.connection import session
from ingest_project_tests.defs.conftest import CHAIN, CORE, NORMALIZED, REQUESTS, SNAPSHOT, Line, Run
from ingest_project_tests.journey.conftest import HEADER, SECOND


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    """What the first test that needs it has made: a run costs seconds."""
    return {}


@pytest.fixture
def first(line: Callable[..., Line], shared: dict[str, Any]) -> tuple[Line, Run]:
    """A branch and its first run, made once for the tests that only look."""
    if "first" not in shared:
        place = line()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress, "EVERY_SECONDS", 0)
            shared["first"] = place, place.run()
    return shared["first"]


def test_all_four_assets_are_materialized_for_the_branch_in_the_order_of_the_data(first: tuple[Line, Run]) -> None:
    place, run = first
    assert run.success
    assert run.materialized == list(CHAIN)
    assert place.states == ["done"]


def test_the_snapshot_says_how_much_was_read_and_how_fast(first: tuple[Line, Run]) -> None:
    _, run = first
    told = run.metadata(SNAPSHOT)
    assert (told["rows_read"], told["dagster/partition_row_count"], told["pages"], told["parts"]) == (11, 11, 3, 3)
    assert told["bytes"] > 0
    assert 0 <= told["page_p95_seconds"] <= told["seconds"]


def test_the_normalized_items_say_what_was_valid_and_why_the_rest_was_not(first: tuple[Line, Run]) -> None:
    _, run = first
    told = run.metadata(NORMALIZED)
    assert (told["rows_read"], told["valid"], told["rejected"], told["parts"]) == (11, 9, 2, 3)
    assert told["dagster/partition_row_count"] == 9
    assert told["bytes"] > 0
    assert re.search(r"\| key_missing +\| +1 +\|", told["rejects"])
    assert re.search(r"\| duplicate_key +\| +1 +\|", told["rejects"])


def test_the_items_say_what_happened_to_each_row(line: Callable[..., Line]) -> None:
    place = line()
    first = place.run().metadata(CORE)
    assert {name: first[name] for name in ("inserted", "updated", "touched", "unchanged", "stale", "missing")} == {
        **{"inserted": 9, "updated": 0, "touched": 0, "unchanged": 0, "stale": 0, "missing": 0},
    }
    place.holds(SECOND)
    second = place.run()
    told = second.metadata(CORE)
    assert (told["valid"], told["dagster/partition_row_count"], told["dagster/table_name"]) == (9, 9, "core.items")
    assert (told["inserted"], told["updated"], told["touched"], told["unchanged"], told["stale"]) == (2, 2, 1, 3, 1)
    assert told["missing"] == 2, "9 and 11 are not in the second state"
    requests = second.metadata(REQUESTS)
    assert (requests["requests"], requests["made"], requests["renewed"], requests["dropped"]) == (3, 2, 1, 0)


@pytest.mark.parametrize("asset", CHAIN)
def test_numbers_that_are_plotted_over_time_are_numbers(asset: str, first: tuple[Line, Run]) -> None:
    place, run = first
    values = run.values(asset)
    assert values["branch"].value == place.name
    numeric = {name for name, value in values.items() if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)}
    assert numeric >= {"activation", "seconds", "rows_per_second", "peak_memory_mb"}
    assert values["activation"].value == place.activations[0]["activation_id"]
    assert values["peak_memory_mb"].value > 20
    assert values["seconds"].value > 0


def test_previews_are_tables_that_the_ui_renders(first: tuple[Line, Run]) -> None:
    _, run = first
    for asset in (SNAPSHOT, NORMALIZED):
        shown = run.values(asset)["preview"]
        assert isinstance(shown, dg.MarkdownMetadataValue)
        lines = str(shown.value).splitlines()
        assert len({line.count("|") for line in lines}) == 1, "as many cells in each line"
        assert "Alpha" in lines[2]
    assert "__row" not in run.metadata(SNAPSHOT)["preview"], "only what the source has"
    assert isinstance(run.values(NORMALIZED)["rejects"], dg.MarkdownMetadataValue)


def test_the_columns_are_declared(first: tuple[Line, Run]) -> None:
    _, run = first
    assert names_of(run, SNAPSHOT) == list(HEADER)
    assert names_of(run, NORMALIZED) == item_schema().names
    with session() as connection:
        live = connection.execute("select * from core.items limit 0").description or []
    assert sorted(names_of(run, CORE)) == sorted(column.name for column in live)


def names_of(run: Run, asset: str) -> list[str]:
    value = run.values(asset)["dagster/column_schema"]
    assert isinstance(value, dg.TableSchemaMetadataValue)
    return [column.name for column in value.schema.columns]


def test_the_run_is_tagged_with_its_branch_and_activation(first: tuple[Line, Run]) -> None:
    place, run = first
    assert run.tags["ingest/branch"] == place.name
    assert run.tags["ingest/activation"] == str(place.activations[0]["activation_id"])


def test_each_asset_leaves_its_checkpoint_with_the_activation_inside(first: tuple[Line, Run]) -> None:
    place, run = first
    activation = place.activations[0]["activation_id"]
    found = {asset: Checkpoints(place.instance).get(place.name, asset) for asset in CHAIN}
    rows = {SNAPSHOT: 11, NORMALIZED: 11, CORE: 9, REQUESTS: 9}
    assert found == {asset: Checkpoint(activation, rows[asset], run.id, complete=True) for asset in CHAIN}


def test_a_checkpoint_is_one_key_of_the_run_storage(first: tuple[Line, Run]) -> None:
    place, _ = first
    key = f"ingest_project/{place.name}/{CORE}"
    kept = json.loads(place.instance.run_storage.get_cursor_values({key})[key])
    assert kept.keys() == {"activation", "rows", "run_id", "complete"}
    assert Checkpoints(place.instance).get("another branch", CORE) is None


def test_a_step_is_observed_while_it_goes_on(first: tuple[Line, Run]) -> None:
    place, run = first
    activation = place.activations[0]["activation_id"]
    read = run.observations(SNAPSHOT)
    assert [seen["rows_so_far"] for seen in read] == [4, 8, 11]
    assert {seen["activation"] for seen in read} == {activation}
    normalized = run.observations(NORMALIZED)
    assert [(seen["rows_so_far"], seen["rows_in_all"]) for seen in normalized] == [(4, 11), (8, 11), (11, 11)]
    assert [seen["rows_so_far"] for seen in run.observations(CORE)][-1] == 9


def test_a_step_of_seconds_is_not_observed(line: Callable[..., Line]) -> None:
    run = line().run()
    assert run.success
    assert [run.observations(asset) for asset in CHAIN] == [[], [], [], []]


def test_a_run_over_data_that_is_in_already_writes_and_says_nothing_new(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    again = place.run()
    told = again.metadata(CORE)
    assert (told["inserted"], told["updated"], told["touched"], told["unchanged"]) == (0, 0, 0, 9)
    assert again.metadata(REQUESTS)["requests"] == 0
    assert place.states == ["done", "done"]


def test_a_partition_can_be_added_any_number_of_times(instance: dg.DagsterInstance) -> None:
    for _ in range(2):
        ensure_partition(instance, "added twice")
    assert list(instance.get_dynamic_partitions("branch")).count("added twice") == 1
