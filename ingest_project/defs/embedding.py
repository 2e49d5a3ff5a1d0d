"""The vectors of a branch as an asset's output: the backlog drained; how the branch stands, as checks and numbers."""

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
from ingest_project.embeddings.backlog import Drained, drain
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
# By name: what passes, and what to do where it does not.
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
    """Checks of a branch: one that is not partitioned would let the pass of one branch stand for another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=ASSET, description=words, partitions_def=branch_partitions)
            for name, (words, _) in _CHECKS.items()
        ]


def lacking_vectors(connection: Connection) -> VectorsMissing | None:
    """Why vectors cannot be stored here, with the DBA's command; None where they can, as soon as that was run."""
    if all(has_vectors(connection, model) for model in working_models(connection)):
        return None
    try:
        require_vectors(connection)
    except VectorsMissing as error:
        return error
    return None


def not_stored(
    context: dg.AssetExecutionContext, ledger: Ledger, lacking: VectorsMissing
) -> Iterator[dg.AssetObservation | dg.AssetCheckResult]:
    """What a run says that can store no vectors: no failure, since everything else works, and nothing materialized."""
    with session() as connection:
        status = embedding_status(connection, ledger.branch.branch_id)
    context.log.warning("%s", lacking)
    facts = {"what": lacking.what, "do": lacking.todo, "pending": sum(one.pending for one in status)}
    yield dg.AssetObservation(asset_key=context.asset_key, partition=context.partition_key, metadata=facts)
    yield from checked(Drained(EmbedOutcome(), status, lost=sum(one.done for one in status)), lacking)


class PostgresVectors(dg.IOManager):
    """Claims the requests of a branch, asks the models' providers, stores vectors in core.item_embeddings."""

    def handle_output(self, context: dg.OutputContext, obj: Embedded) -> None:
        branch, began = obj.ledger.branch, time.monotonic()
        with explained(context):
            # Of an ingest in the same run: vectors are fenced by their own leases, and may take long.
            context.resources.ingest.release_branch()
            with listening(_Observed(context, branch.name)):
                obj.drained = drain(branch, settings().embed_run_seconds)
        context.add_output_metadata(_numbers(branch.name, obj.drained, time.monotonic() - began))

    def load_input(self, context: dg.InputContext) -> None:
        """Vectors are searched where they are."""
        raise NotImplementedError("item_embeddings is read by `ingest search`, or in SQL from core.item_embeddings")


def checked(drained: Drained, lacking: VectorsMissing | None = None) -> Iterator[dg.AssetCheckResult]:
    """How the branch stands, by check; `lacking` is why nothing could be stored."""
    active = drained.active
    items, done = (active.items, active.done) if active else (0, 0)
    dead: Counter[str] = Counter()
    for one in drained.status:
        dead.update(one.dead)
    numbers = {"items": items, "lacking": items if lacking else max(items - done, 0)}
    covered = active is not None and not numbers["lacking"]
    yield _result("coverage", covered, numbers, todo=lacking.todo if lacking else None)
    yield _result("dead_requests", not dead, {"dead": dead.total(), "by_class": dict(dead)})
    yield _result("ledger_equals_vectors", not drained.lost, {"lost": drained.lost}, dg.AssetCheckSeverity.ERROR)


def _result(
    name: str,
    passed: bool,
    facts: dict[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    todo: str | None = None,
) -> dg.AssetCheckResult:
    what_to_do = {} if passed else {"do": todo or _CHECKS[name][1]}
    return dg.AssetCheckResult(passed=passed, check_name=name, severity=severity, metadata={**facts, **what_to_do})


def _numbers(branch: str, drained: Drained, seconds: float) -> dict[str, Any]:
    active = drained.active
    oldest = min((one.oldest for one in drained.status if one.oldest), default=None)
    return {
        "branch": branch,
        "embedded": drained.outcome.done,
        "pending": sum(one.pending for one in drained.status),
        "leased": sum(one.leased for one in drained.status),
        "done": sum(one.done for one in drained.status),
        "dead": sum(sum(one.dead.values()) for one in drained.status),
        "coverage": round(active.coverage, 4) if active else 0.0,
        **({"oldest_pending": dg.MetadataValue.timestamp(oldest)} if oldest else {}),
        "tokens": drained.outcome.tokens,
        "seconds": round(seconds, 3),
        "items_per_second": round(drained.outcome.done / drained.outcome.seconds) if drained.outcome.seconds else 0,
        "models": metadata.table_of([_of_model(one) for one in drained.status]),
        "dagster/table_name": "core.item_embeddings",
        "dagster/partition_row_count": active.done if active else 0,
        "peak_memory_mb": metadata.peak_memory_mb(),
    }


def _of_model(one: EmbeddingStatus) -> dict[str, object]:
    dead = ", ".join(f"{key} {count:,}" for key, count in one.dead.items())
    return {
        "model": f"{one.model_id} {one.model}",
        "state": one.state,
        "items": one.items,
        "done": one.done,
        "pending": one.pending,
        "leased": one.leased,
        "dead": dead or "0",
        "coverage": f"{100 * one.coverage:.1f} %",
        "oldest pending": f"{one.oldest:%Y-%m-%d %H:%M:%S} UTC" if one.oldest else "",
        "per second": f"{one.rate:,.1f}",
        "paused for": (one.paused_for or "") if one.paused_until else "",
    }


class _Observed:
    """Progress as an observation of the partition, every few seconds: each costs Dagster a connection or two."""

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
