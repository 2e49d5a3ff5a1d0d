"""The project on one page, as Dagster and its users see it before anything has run."""

from typing import Any

import dagster as dg
import pytest

from ingest_project.definitions import defs
from ingest_project.defs.assets import (
    branch_snapshot,
    core_items,
    embedding_requests,
    item_embeddings,
    normalized_items,
)
from ingest_project.defs.partitions import branch_partitions
from ingest_project_tests.defs.conftest import CHAIN, CORE, NORMALIZED, REQUESTS, SNAPSHOT, VECTORS

DEFAULTS = {"batch_size": None, "dry_run": False, "activation": None, "save": False, "plan": None}


@pytest.fixture(scope="module")
def graph() -> dict[str, Any]:
    """The nodes of the asset graph by name."""
    found = defs.resolve_asset_graph()
    return {key.path[-1]: found.get(key) for key in found.get_all_asset_keys()}


def test_the_definitions_load() -> None:
    dg.Definitions.validate_loadable(defs)


def test_there_are_four_assets_in_a_chain_and_vectors_behind_them(graph: dict[str, Any]) -> None:
    assert set(graph) == {*CHAIN, VECTORS}
    parents = {name: sorted(key.path[-1] for key in node.parent_keys) for name, node in graph.items()}
    assert parents == {SNAPSHOT: [], NORMALIZED: [SNAPSHOT], CORE: [NORMALIZED], REQUESTS: [CORE], VECTORS: [REQUESTS]}


def test_all_are_partitioned_by_the_same_branches(graph: dict[str, Any]) -> None:
    assert {node.partitions_def for node in graph.values()} == {branch_partitions}
    assert branch_partitions.name == "branch"


@pytest.mark.parametrize("asset", [*CHAIN, VECTORS])
def test_each_says_what_it_is_whose_it_is_and_where_it_lies(asset: str, graph: dict[str, Any]) -> None:
    node = graph[asset]
    assert len(node.description) > 60
    assert node.owners == ["team:data-engineering"]
    assert node.group_name == "ingest"
    assert node.kinds
    kind = "parquet" if asset in (SNAPSHOT, NORMALIZED) else "postgres"
    assert kind in node.kinds


def test_what_an_upsert_does_to_a_row_is_said_where_people_look(graph: dict[str, Any]) -> None:
    for word in ("inserted", "replaces", "history", "never rewritten", "touches", "stale", "dry run"):
        assert word in graph[CORE].description, word


@pytest.mark.parametrize("asset", [branch_snapshot, normalized_items, core_items, embedding_requests, item_embeddings])
def test_what_may_pass_is_tried_again_a_few_times(asset: dg.AssetsDefinition) -> None:
    policy = asset.op.retry_policy
    assert policy is not None
    assert (policy.max_retries, policy.backoff) == (2, dg.Backoff.EXPONENTIAL)


def test_the_job_takes_all_of_it_one_branch_at_a_time_in_one_process() -> None:
    job = defs.resolve_job_def("ingest_branch")
    assert "ingest_branch" in [found.name for found in defs.jobs or []]
    assert job.description
    assert job.partitions_def == branch_partitions
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == set(CHAIN)
    assert job.executor_def.name == "in_process"


def test_vectors_have_a_job_of_their_own() -> None:
    job = defs.resolve_job_def("embed_branch")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {VECTORS}
    assert job.partitions_def == branch_partitions
    assert job.description


def test_every_schedule_is_on_by_default_and_says_what_for() -> None:
    schedules = [one for one in defs.schedules or [] if isinstance(one, dg.ScheduleDefinition)]
    assert {one.name for one in schedules} >= {"reconcile_daily"}
    assert all(one.default_status == dg.DefaultScheduleStatus.RUNNING and one.description for one in schedules)


@pytest.mark.parametrize("option", DEFAULTS)
def test_the_launchpad_explains_each_option(option: str) -> None:
    job = defs.resolve_job_def("ingest_branch")
    shown = job.resource_defs["ingest"].config_schema.config_type.fields  # type: ignore[union-attr]
    assert set(shown) == set(DEFAULTS)
    assert len(shown[option].description or "") > 40
    assert not shown[option].is_required
    assert (shown[option].default_value if shown[option].default_provided else None) == DEFAULTS[option]


def test_the_launchpad_says_what_each_resource_and_logger_is() -> None:
    job = defs.resolve_job_def("ingest_branch")
    ours = {name: one.description for name, one in job.resource_defs.items() if name != "io_manager"}
    assert set(ours) == {"ingest", "parts", "items", "ledger", "vectors"}
    assert all(ours.values())
    assert job.loggers["console"].description
    level = job.loggers["console"].config_schema.config_type.fields["log_level"]  # pyright: ignore
    assert (level.default_value, bool(level.description)) == ("INFO", True)


def test_a_check_says_what_it_stops_and_what_to_do(graph: dict[str, Any]) -> None:
    specs = [one for asset in (branch_snapshot, normalized_items, core_items) for one in asset.check_specs]
    assert len(specs) > 6
    assert all(str(one.description).startswith("Stops a branch of which this is true: ") for one in specs)


def test_every_table_says_its_columns(graph: dict[str, Any]) -> None:
    assert {name for name, node in graph.items() if "dagster/column_schema" not in node.metadata} == {SNAPSHOT}


def test_config_of_the_wrong_kind_is_refused_before_the_run() -> None:
    job = defs.resolve_job_def("ingest_branch")
    for wrong in ({"batch_size": "many"}, {"dry_run": "yes please"}, {"activation": "newest"}, {"unknown": 1}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"resources": {"ingest": {"config": wrong}}})
    dg.validate_run_config(job, {"resources": {"ingest": {"config": {"batch_size": 7, "dry_run": True}}}})


def test_the_sensors_are_on_by_default_and_say_what_they_do() -> None:
    sensors = [sensor for sensor in defs.sensors or [] if isinstance(sensor, dg.SensorDefinition)]
    assert [sensor.name for sensor in sensors] == ["branch_activation", "embedding_backlog", "release_leases"]
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in sensors)
    assert all(sensor.description for sensor in sensors)


def test_the_graph_is_loaded_without_asking_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_DATABASE_URL", "postgresql://nobody@nowhere.invalid/nothing")
    dg.Definitions.validate_loadable(defs)
    assert {job.name for job in defs.resolve_all_job_defs()} >= {"ingest_branch"}
