"""The four stages of one branch in a row, without Dagster: what a run does, in a process that may be killed."""

import multiprocessing
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch, get_branch
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.extract import snapshot
from ingest_project.extract.store import PartStore
from ingest_project.normalize import normalized
from ingest_project.normalize.part import normalize_part
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import Lease
from ingest_project.settings import settings
from ingest_project.telemetry import correlated
from ingest_project.upsert import rollback
from ingest_project.upsert.items import apply_activation

Doing = Callable[..., object]  # takes the name of a branch, a batch size and a run_id


def ingest(
    name: str,
    batch_size: int = 4,
    *,
    run_id: str = "run",
    holder: str | None = None,
    between: Callable[[str], None] = lambda stage: None,
) -> Activation:
    """Ingest a branch as it is now; `between` is called after each stage with its name. Raises as the stages do."""
    with _held(name, run_id, holder) as (connection, lease, branch):
        store = PartStore(settings().store_location)
        work = snapshot.begin(connection, lease, branch, activation_id=None, plan_only=False)
        between("begin")
        work = snapshot.take_snapshot(work, store, batch_size=batch_size).work
        between("branch_snapshot")
        spec = work.activation.pinned_spec()
        work = normalized.normalize_activation(work, store, partial(normalize_part, spec=spec))
        between("normalized_items")
        if work.activation.committed_at is None:
            work = work.on(apply_activation(work, normalized.valid_parts(work, store)).activation)
        between("core_items")
        return derive_requests(work).work.activation


def roll_back(name: str, batch_size: int = 0, *, run_id: str = "run", holder: str | None = None) -> Activation:
    """Undo what a branch ingested last, or go on with that; `batch_size` is for those who ingest. Raises as it does."""
    with _held(name, run_id, holder) as (connection, lease, branch):
        known = activations.newest(connection, branch.branch_id)
        last = next(one for one in known if one.kind == "ingest")
        work = rollback.undo_all(rollback.begin(connection, lease, branch, last.activation_id))
        return derive_requests(work).work.activation


@contextmanager
def _held(name: str, run_id: str, holder: str | None) -> Generator[tuple[Connection, Lease, Branch]]:
    with correlated(run_id), session() as connection:
        branch = get_branch(connection, name)
        with leases.held(connection, branch.branch_id, name, run_id=run_id, holder=holder) as lease:
            yield connection, lease, branch


# Children are forked from a process that has all of this imported and no thread, connection or lock of ours.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def start(name: str, *, run_id: str, failpoint: str = "", batch_size: int = 4, doing: Doing = ingest) -> BaseProcess:
    """Start an ingest, or what else is done to a branch, in a process of its own, armed to die at a failpoint."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("INGEST_")}
    child = _FORKS.Process(
        target=_do_in, args=(environment, failpoint, partial(doing, name, batch_size, run_id=run_id))
    )
    child.start()
    return child


def _do_in(environment: Mapping[str, str], failpoint: str, doing: Callable[[], object]) -> None:
    os.environ.update(environment)
    settings.cache_clear()
    failpoints.arm(failpoint)
    doing()
