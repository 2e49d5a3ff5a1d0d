"""A branch's backlog drained: by every model that is kept, one run at a time, for so long."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ingest_project.branches.registry import Branch
from ingest_project.embeddings.models import Model, working_models
from ingest_project.embeddings.queue import require_vectors
from ingest_project.embeddings.status import EmbeddingStatus, embedding_status
from ingest_project.embeddings.vectors import index_where_it_pays
from ingest_project.embeddings.worker import EmbedOutcome
from ingest_project.embeddings.worker_pool import run_workers
from ingest_project.errors import Locked, ProviderUnusable
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value, session

_SQL = statements.load(__name__, "backlog.sql")
NAMESPACE = 0x656D6265  # "embe": beside the leases' advisory locks


@dataclass(frozen=True)
class Drained:
    """What a run came to, and how the branch stands by each model. `lost`: done requests without their vector."""

    outcome: EmbedOutcome
    status: list[EmbeddingStatus]
    lost: int
    indexed: list[int] = field(default_factory=list[int])

    @property
    def active(self) -> EmbeddingStatus | None:
        """As the model has it that answers searches."""
        return next((one for one in self.status if one.state == "active"), None)


def due_branches(connection: Connection) -> list[str]:
    """Names of branches in which a worker would find something to do now; none where vectors cannot be stored."""
    if not fetch_value(connection, _SQL["can_be_stored"]):
        return []
    return [name for _, name in connection.execute(_SQL["due_branches"]).fetchall()]


def drain(branch: Branch, seconds: float) -> Drained:
    """Embed what waits in a branch, for at most so long; what is left is due as before.

    A model whose provider cannot be used does not keep the others waiting; then it is said. Raises Locked where another
    run is at it, VectorsMissing, ProviderUnusable.
    """
    whole, until = EmbedOutcome(), time.monotonic() + seconds
    unusable: ProviderUnusable | None = None
    with session() as connection, _turn(connection, branch):
        require_vectors(connection)
        models = working_models(connection)
        for model in models:
            try:
                _add(whole, _drained(model, branch, until - time.monotonic()))
            except ProviderUnusable as error:
                unusable = unusable or error
        if unusable:
            raise unusable
        indexed = [model.model_id for model in models if index_where_it_pays(connection, model)]
        lost = fetch_value(connection, _SQL["count_lost"], {"branch_id": branch.branch_id})
        return Drained(whole, embedding_status(connection, branch.branch_id), lost, indexed)


def _drained(model: Model, branch: Branch, seconds: float) -> EmbedOutcome:
    stop = threading.Event()
    alarm = threading.Timer(max(seconds, 0.0), stop.set)
    alarm.daemon = True
    alarm.start()
    try:
        return run_workers(model_id=model.model_id, branch_id=branch.branch_id, stop=stop)
    finally:
        alarm.cancel()


def _add(whole: EmbedOutcome, part: EmbedOutcome) -> None:
    for name in ("done", "deferred", "failed", "dead", "stale", "tokens", "seconds"):
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
    whole.stopped = whole.stopped or part.stopped


@contextmanager
def _turn(connection: Connection, branch: Branch) -> Generator[None]:
    values = {"namespace": NAMESPACE, "branch_id": branch.branch_id}
    if not fetch_value(connection, _SQL["take_turn"], values):
        raise Locked(
            "another run is embedding this branch",
            where={"branch": branch.name},
            todo="Wait for it to end: `ingest embed status` shows how far it is. Further workers: `ingest embed run`.",
        )
    yield  # it ends with the session
