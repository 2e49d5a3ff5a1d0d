"""The four stages of one branch in a row, without Dagster: what a run does, in a process that may be killed."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.process import BaseProcess

from ingest_project import failpoints
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import get_branch
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.extract import snapshot
from ingest_project.extract.store import PartStore
from ingest_project.normalize import normalized
from ingest_project.normalize.part import normalize_part
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.telemetry import correlated
from ingest_project.upsert.items import apply_activation


def ingest(
    name: str,
    batch_size: int = 4,
    *,
    run_id: str = "run",
    holder: str | None = None,
    between: Callable[[str], None] = lambda stage: None,
) -> Activation:
    """Ingest a branch as it is now; `between` is called after each stage with its name. Raises as the stages do."""
    with correlated(run_id), session() as connection:
        branch = get_branch(connection, name)
        lease = leases.acquire(connection, branch.branch_id, name, holder=holder or run_id, run_id=run_id)
        with leases.kept_alive(lease):
            store = PartStore(settings().store_location)
            work = snapshot.begin(connection, lease, branch, wanted=None, plan_only=False)
            between("begin")
            work = snapshot.take_snapshot(work, store, batch_size=batch_size).work
            between("branch_snapshot")
            spec = work.activation.pinned_spec()
            work = normalized.normalize_activation(work, store, partial(normalize_part, spec=spec))
            between("normalized_items")
            if work.activation.committed_at is None:
                work = work.on(apply_activation(work, normalized.valid_parts(work, store)).activation)
            between("core_items")
            done = derive_requests(work).work.activation
        leases.release(connection, lease)
    return done


# Children are forked from a process that has all of this imported and no thread, connection or lock of ours.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def start(name: str, *, run_id: str, failpoint: str = "", batch_size: int = 4) -> BaseProcess:
    """Start an ingest in a process of its own, armed to die at a failpoint."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("INGEST_")}
    child = _FORKS.Process(target=_ingest_in, args=(environment, failpoint, name, batch_size, run_id))
    child.start()
    return child


def _ingest_in(environment: Mapping[str, str], failpoint: str, name: str, batch_size: int, run_id: str) -> None:
    os.environ.update(environment)
    settings.cache_clear()
    failpoints.arm(failpoint)
    ingest(name, batch_size, run_id=run_id)
