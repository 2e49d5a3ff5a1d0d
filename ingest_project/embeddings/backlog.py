"""Draining the backlog of a branch: embed what waits, for every model in use, within a time limit."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingest_project.branches.registry import Branch
from ingest_project.embeddings.models import Model, working_models
from ingest_project.embeddings.queue import require_vectors
from ingest_project.embeddings.status import EmbeddingStatus, embedding_status
from ingest_project.embeddings.vectors import index_if_worthwhile
from ingest_project.embeddings.worker import EmbedOutcome
from ingest_project.embeddings.worker_pool import run_workers
from ingest_project.errors import Locked, ProviderUnusable
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value, session

_SQL = statements.load(__name__, "backlog.sql")
NAMESPACE = 0x656D6265  # "embe": its advisory locks are others than those of leases


@dataclass(frozen=True)
class DrainResult:
    """The outcome of a run, and the state of the branch for each model. `lost`: done requests without their vector."""

    outcome: EmbedOutcome
    status: list[EmbeddingStatus]
    lost: int
    indexed: list[int] = field(default_factory=list[int])

    @property
    def active(self) -> EmbeddingStatus | None:
        """The status for the model that answers searches."""
        return next((status for status in self.status if status.state == "active"), None)


def due_branches(connection: Connection) -> list[str]:
    """Names of branches that have something to embed now; none where vectors cannot be stored."""
    if not fetch_value(connection, _SQL["vectors_table_exists"]):
        return []
    return [name for _, name in connection.execute(_SQL["due_branches"]).fetchall()]


def drain(branch: Branch, seconds: float) -> DrainResult:
    """Embed what waits in a branch, for at most so many seconds; what is left stays due.

    A model whose provider cannot be used does not hold up the others: ProviderUnusable is raised at the end. Raises
    also Locked where another run is embedding the branch, and VectorsMissing.
    """
    total, deadline = EmbedOutcome(), time.monotonic() + seconds
    unusable: ProviderUnusable | None = None
    with session() as connection, _locked(connection, branch):
        require_vectors(connection)
        models = working_models(connection)
        for model in models:
            try:
                _add(total, _run_for(model, branch, deadline - time.monotonic()))
            except ProviderUnusable as error:
                unusable = unusable or error
        if unusable:
            raise unusable
        indexed = [model.model_id for model in models if index_if_worthwhile(connection, model)]
        lost = fetch_value(connection, _SQL["count_lost"], {"branch_id": branch.branch_id})
        return DrainResult(total, embedding_status(connection, branch.branch_id), lost, indexed)


def _run_for(model: Model, branch: Branch, seconds: float) -> EmbedOutcome:
    stop = threading.Event()
    timer = threading.Timer(max(seconds, 0.0), stop.set)
    timer.daemon = True
    timer.start()
    try:
        return run_workers(model_id=model.model_id, branch_id=branch.branch_id, stop=stop)
    finally:
        timer.cancel()


def _add(total: EmbedOutcome, outcome: EmbedOutcome) -> None:
    """Add the outcome of a run behind the others."""
    for name in ("done", "deferred", "failed", "dead", "stale", "tokens", "seconds"):
        setattr(total, name, getattr(total, name) + getattr(outcome, name))
    total.stopped = total.stopped or outcome.stopped


@contextmanager
def _locked(connection: Connection, branch: Branch) -> Generator[None]:
    values = {"namespace": NAMESPACE, "branch_id": branch.branch_id}
    if not fetch_value(connection, _SQL["try_lock_branch"], values):
        raise Locked(
            "another run is embedding this branch",
            where={"branch": branch.name},
            todo="Wait for it to end: `ingest embed status` shows how far it is. Further workers: `ingest embed run`.",
        )
    yield  # the lock ends with the session
