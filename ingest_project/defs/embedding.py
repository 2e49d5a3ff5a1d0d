"""The asset item_embeddings: its IO manager, which embeds what is due, its asset checks and its metadata."""

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._utils.warnings import PreviewWarning

from ingest_project.defs import metadata
from ingest_project.defs.failures import explained
from ingest_project.defs.partitions import branch_partitions
from ingest_project.defs.parts import Embedded, Ledger
from ingest_project.defs.progress import EVERY_SECONDS
from ingest_project.embeddings.backlog import DrainResult, drain
from ingest_project.embeddings.models import has_vectors, working_models
from ingest_project.embeddings.queue import require_vectors
from ingest_project.embeddings.status import EmbeddingStatus, embedding_status
from ingest_project.embeddings.worker import EmbedOutcome
from ingest_project.embeddings.worker_pool import STAGE
from ingest_project.errors import VectorsMissing
from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project.telemetry import Progress, listening

ASSET = "item_embeddings"
# Check: what it says when it passes, and what to do when it fails.
_CHECKS = {
    "coverage": (
        "Every item of the branch has the vector of what it says, by the model that answers searches.",
        "What waits is embedded by the next run: `ingest embed status`.",
    ),
    "dead_requests": (
        "No request was given up: refused for its text, or out of attempts.",
        "`ingest embed status` says why; mend it, then `ingest embed retry`.",
    ),
    "ledger_equals_vectors": ("Every request that is done has its vector.", "`ingest verify --repair`."),
}


def check_specs() -> list[dg.AssetCheckSpec]:
    """The checks, partitioned by branch: otherwise the pass of one branch would stand for another one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=ASSET, description=description, partitions_def=branch_partitions)
            for name, (description, _) in _CHECKS.items()
        ]


def find_missing_vectors(connection: Connection) -> VectorsMissing | None:
    """Why this database cannot store vectors, with the command for the DBA; None where it can."""
    if all(has_vectors(connection, model) for model in working_models(connection)):
        return None
    try:
        require_vectors(connection)
    except VectorsMissing as error:
        return error
    return None


def results_without_vectors(
    context: dg.AssetExecutionContext, ledger: Ledger, missing: VectorsMissing
) -> Iterator[dg.AssetObservation | dg.AssetCheckResult]:
    """What a run yields where vectors cannot be stored: no failure, since everything else works."""
    with session() as connection:
        status = embedding_status(connection, ledger.branch.branch_id)
    context.log.warning("%s", missing)
    facts = {"what": missing.what, "do": missing.todo, "pending": sum(model.pending for model in status)}
    yield dg.AssetObservation(asset_key=context.asset_key, partition=context.partition_key, metadata=facts)
    yield from check_results(DrainResult(EmbedOutcome(), status, lost=sum(model.done for model in status)), missing)


class PostgresVectors(dg.IOManager):
    """Claims the requests of a branch, calls the models' providers, stores the vectors in core.item_embeddings."""

    def handle_output(self, context: dg.OutputContext, obj: Embedded) -> None:
        branch, began = obj.ledger.branch, time.monotonic()
        with explained(context):
            # An ingest in the same run has leased the branch. Embedding may take long and has leases of its own.
            context.resources.ingest.release_branch()
            with listening(_Listener(context, branch.name)):
                obj.drained = drain(branch, settings().embed_run_seconds)
        context.add_output_metadata(_metadata(branch.name, obj.drained, time.monotonic() - began))

    def load_input(self, context: dg.InputContext) -> None:
        """Not to be loaded: vectors are searched in Postgres."""
        raise NotImplementedError("item_embeddings is read by `ingest search`, or in SQL from core.item_embeddings")


def check_results(drained: DrainResult, missing: VectorsMissing | None = None) -> Iterator[dg.AssetCheckResult]:
    """The results of the checks of a branch; `missing` says why no vectors could be stored."""
    active = drained.active
    items, done = (active.items, active.done) if active else (0, 0)
    dead: Counter[str] = Counter()
    for model in drained.status:
        dead.update(model.dead)
    numbers = {"items": items, "lacking": items if missing else max(items - done, 0)}
    is_covered = active is not None and not numbers["lacking"]
    yield _check_result("coverage", is_covered, numbers, todo=missing.todo if missing else None)
    yield _check_result("dead_requests", not dead, {"dead": dead.total(), "by_class": dict(dead)})
    yield _check_result("ledger_equals_vectors", not drained.lost, {"lost": drained.lost}, dg.AssetCheckSeverity.ERROR)


def _check_result(
    name: str,
    passed: bool,
    facts: dict[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    todo: str | None = None,
) -> dg.AssetCheckResult:
    remedy = {} if passed else {"do": todo or _CHECKS[name][1]}
    return dg.AssetCheckResult(passed=passed, check_name=name, severity=severity, metadata={**facts, **remedy})


def _metadata(branch: str, drained: DrainResult, seconds: float) -> dict[str, Any]:
    active = drained.active
    oldest = min((model.oldest for model in drained.status if model.oldest), default=None)
    return {
        "branch": branch,
        "embedded": drained.outcome.done,
        "pending": sum(model.pending for model in drained.status),
        "leased": sum(model.leased for model in drained.status),
        "done": sum(model.done for model in drained.status),
        "dead": sum(sum(model.dead.values()) for model in drained.status),
        "coverage": round(active.coverage, 4) if active else 0.0,
        **({"oldest_pending": dg.MetadataValue.timestamp(oldest)} if oldest else {}),
        "tokens": drained.outcome.tokens,
        "seconds": round(seconds, 3),
        "items_per_second": round(drained.outcome.done / drained.outcome.seconds) if drained.outcome.seconds else 0,
        "models": metadata.table_of([_model_row(model) for model in drained.status]),
        "dagster/table_name": "core.item_embeddings",
        "dagster/partition_row_count": active.done if active else 0,
        "peak_memory_mb": metadata.peak_memory_mb(),
    }


def _model_row(status: EmbeddingStatus) -> dict[str, object]:
    dead = ", ".join(f"{key} {count:,}" for key, count in status.dead.items())
    return {
        "model": f"{status.model_id} {status.model}",
        "state": status.state,
        "items": status.items,
        "done": status.done,
        "pending": status.pending,
        "leased": status.leased,
        "dead": dead or "0",
        "coverage": f"{100 * status.coverage:.1f} %",
        "oldest pending": f"{status.oldest:%Y-%m-%d %H:%M:%S} UTC" if status.oldest else "",
        "per second": f"{status.rate:,.1f}",
        "paused for": (status.paused_for or "") if status.paused_until else "",
    }


class _Listener:
    """Shows progress as an observation of the partition every few seconds: each costs Dagster a connection or two."""

    def __init__(self, context: dg.OutputContext, branch: str) -> None:
        self._context = context
        self._branch = branch
        self._next = time.monotonic() + EVERY_SECONDS

    def __call__(self, progress: Progress) -> None:
        if progress.stage != STAGE or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        numbers = {"embedded_so_far": progress.rows, "waited_at_the_start": progress.total or 0}
        self._context.log_event(
            dg.AssetObservation(asset_key=self._context.asset_key, partition=self._branch, metadata=numbers)
        )
