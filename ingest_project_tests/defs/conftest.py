"""The job in this process, on one database and one Dagster instance per module; each test has a branch of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from ingest_project import failpoints
from ingest_project.branches import registry
from ingest_project.definitions import defs
from ingest_project.defs.partitions import ensure_partition
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project_tests.conftest import _pointed_at
from ingest_project_tests.journey.conftest import FIRST, spec_of, write_csv
from ingest_project_tests.journey.states import rows

SNAPSHOT, NORMALIZED, CORE, REQUESTS = "branch_snapshot", "normalized_items", "core_items", "embedding_requests"
CHAIN = (SNAPSHOT, NORMALIZED, CORE, REQUESTS)
VECTORS = "item_embeddings"


@dataclass(frozen=True)
class Run:
    """What a run came to, and what it left in Dagster."""

    result: dg.ExecuteInProcessResult
    instance: dg.DagsterInstance

    @property
    def id(self) -> str:
        return self.result.run_id

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def tags(self) -> Mapping[str, str]:
        """As they are now: the run adds some."""
        run = self.instance.get_run_by_id(self.id)
        assert run is not None
        return run.tags

    @property
    def materialized(self) -> list[str]:
        return [str(event.asset_key.path[-1]) for event in self.result.get_asset_materialization_events()]

    def metadata(self, asset: str) -> dict[str, Any]:
        """Of the one materialization of an asset."""
        (found,) = self.result.asset_materializations_for_node(asset)
        assert found.partition == self.result.dagster_run.tags["dagster/partition"]
        return {key: value.value for key, value in found.metadata.items()}

    def values(self, asset: str) -> Mapping[str, dg.MetadataValue[Any]]:
        """The same with their types."""
        (found,) = self.result.asset_materializations_for_node(asset)
        return found.metadata

    def observations(self, asset: str) -> list[dict[str, Any]]:
        return [
            {key: value.value for key, value in found.metadata.items()}
            for found in self.result.asset_observations_for_node(asset)
        ]

    @property
    def failed_step(self) -> str:
        return self._failure.step_key or ""

    @property
    def failure(self) -> dg.Failure:
        """As the failed step told Dagster."""
        told = self._failure.step_failure_data.user_failure_data
        assert told is not None, self._failure.step_failure_data.error
        return dg.Failure(told.description, told.metadata)

    @property
    def told(self) -> dict[str, Any]:
        """The metadata of the failure."""
        return {key: value.value for key, value in self.failure.metadata.items()}

    @property
    def retries(self) -> int:
        return sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in self.result.all_events)

    @property
    def skipped(self) -> list[str | None]:
        return [event.step_key for event in self.result.all_events if event.is_step_skipped]

    @property
    def text(self) -> str:
        """Everything that Dagster wrote down of this run."""
        return "\n".join(entry.to_json() for entry in self.instance.all_logs(self.id))

    @property
    def _failure(self) -> dg.DagsterEvent:
        return next(event for event in self.result.all_events if event.is_step_failure)


@dataclass(frozen=True)
class Line:
    """A registered branch and its job."""

    name: str
    branch_id: int
    file: Path
    instance: dg.DagsterInstance

    def holds(self, data: Iterable[Sequence[str]]) -> None:
        """Replace its data."""
        write_csv(self.file, data)

    def run(self, *selection: str, raises: bool = False, **options: Any) -> Run:
        """Execute the job, or some of its assets; keywords are options of the run."""
        result = defs.resolve_job_def("ingest_branch").execute_in_process(
            instance=self.instance,
            partition_key=self.name,
            asset_selection=[dg.AssetKey(asset) for asset in selection] or None,
            run_config={
                "resources": {"ingest": {"config": {"batch_size": 4, **options}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=raises,
        )
        return Run(result, self.instance)

    def embed(self, *selection: str) -> Run:
        """Execute the job that embeds, or Materialize all where all assets are selected."""
        job = "embed_branch" if not selection else "__ASSET_JOB"
        result = defs.resolve_implicit_global_asset_job_def() if selection else defs.resolve_job_def(job)
        ran = result.execute_in_process(
            instance=self.instance,
            partition_key=self.name,
            asset_selection=[dg.AssetKey(asset) for asset in selection] or None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        return Run(ran, self.instance)

    def applies(self, **given: Any) -> None:
        """Apply its spec with other settings."""
        with session() as connection:
            registry.apply_branch(connection, spec_of(self.file, **{"name": self.name, "source": self.name, **given}))

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Rows of a query that names this branch `%(branch_id)s`."""
        with session() as connection:
            return rows(connection, query.replace("%(branch_id)s", str(self.branch_id)))

    @property
    def activations(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return self.ask("select * from ingest.activations where branch_id = %(branch_id)s order by activation_id")

    @property
    def states(self) -> list[str]:
        return [found["state"] for found in self.activations]

    @property
    def items(self) -> dict[str, str]:
        """Names by key."""
        found = self.ask("select external_id, name from core.items where branch_id = %(branch_id)s")
        return {row["external_id"]: row["name"] for row in found}

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Asset and path of all that the manifest lists, in the order of the data."""
        found = self.ask(
            """select p.asset, p.path from ingest.parts p join ingest.activations a using (activation_id)
                where a.branch_id = %(branch_id)s order by p.asset, p.activation_id, p.part"""
        )
        return [(row["asset"], row["path"]) for row in found]

    @property
    def requests(self) -> int:
        found = self.ask(
            """select count(*) from core.embedding_requests r join core.items i using (item_id)
                where i.branch_id = %(branch_id)s"""
        )
        return found[0]["count"]

    @property
    def holder(self) -> str | None:
        """The run that holds its lease."""
        found = self.ask("select run_id from ingest.leases where branch_id = %(branch_id)s")
        return found[0]["run_id"] if found else None


@pytest.fixture(scope="module")
def own_database(own_database: str, _only_our_settings: None) -> Iterator[str]:
    """The database of the module; INGEST_DATABASE_URL points there meanwhile: the assets look there."""
    with _pointed_at(own_database):
        yield own_database


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An INGEST_HOME of the module."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGEST_HOME", str(folder))
        settings.cache_clear()
        yield folder
    settings.cache_clear()


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster of the module, in memory: its own tables in Postgres are the subject of one module only."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def line(
    own_database: str, own_home: Path, instance: dg.DagsterInstance, tmp_path: Path
) -> Iterator[Callable[..., Line]]:
    """Register a branch under a new name; keywords go into its spec. No failpoint is left armed after it."""

    def register(data: Iterable[Sequence[str]] = FIRST, **given: Any) -> Line:
        name = f"branch {uuid4().hex[:8]}"
        file = write_csv(tmp_path / f"{name}.csv", data)
        spec = spec_of(file, **{"name": name, "source": name, **given})
        with session() as connection:
            registry.apply_branch(connection, spec)
            branch_id = registry.get_branch(connection, name).branch_id
        ensure_partition(instance, name)
        return Line(name, branch_id, file, instance)

    yield register
    failpoints.arm("")
