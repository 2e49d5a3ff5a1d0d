"""The ledger alone: requests derived, compared and switched, and claimed and acknowledged as fast as it goes."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest_project.embeddings.ledger import derive_requests
from ingest_project.embeddings.models import Model, ModelSpec, activate_model, add_model, get_model
from ingest_project.embeddings.queue import FROM_THE_START, Limits, Queue
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.upsert.making import Line, Source

# Forked from a process that has all of this imported, so that starting one takes no time of the others.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
BATCH = 500
DIMS = 8  # of vectors that are stored where only the ledger is measured
_ITEMS = """
with made as (
  insert into core.items (source_id, external_id, name, category, description, locality, country_code, content_hash,
                          embed_hash, priority, branch_id, activation_id, created_activation_id, part)
  select %(source_id)s, n::text, 'Item ' || n, 'café', repeat('Quiet, near the harbour. ', 5) || n, 'Hamburg', 'DE',
         md5(n::text)::uuid, md5(n::text)::uuid, 0, %(branch_id)s, %(activation_id)s, %(activation_id)s, 0
    from generate_series(1, %(items)s) n returning item_id)
insert into core.item_versions (written_by_activation, item_id, version, op)
select %(activation_id)s, item_id, 1, 'i' from made"""
_CHANGES = """
with changed as (
  update core.items set embed_hash = gen_random_uuid(), version = version + 1
   where branch_id = %(branch_id)s and item_id %% 100 = 0 returning item_id, version)
insert into core.item_versions (written_by_activation, item_id, version, op, old)
select %(activation_id)s, item_id, version, 'u', '{}' from changed"""
_ALL_PENDING = """
update core.embedding_requests set status = 'p', lease_id = null, leased_until = null, completed_at = null,
       next_attempt_at = now() where model_id = %(model_id)s"""
# No vector is looked at when models are switched.
_ALL_DONE = "update core.embedding_requests set status = 'd', completed_at = now()"


@dataclass(frozen=True)
class Figure:
    """What was measured, of how many items, in how many seconds."""

    what: str
    items: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.items / self.seconds


def derived(connection: Connection, items: int) -> Iterator[Figure]:
    """Requests of a first activation of so many items, of one that changes nothing, and of one that changes 1 %."""
    line = Source(connection, "benchmark").line()
    for what, statement in (("first", _ITEMS), ("nothing changed", None), ("1 % changed", _CHANGES)):
        work = _committed(connection, line)
        values = {"activation_id": work.activation.activation_id, "branch_id": work.branch.branch_id}
        if statement:
            connection.execute(statement.encode(), {**values, "source_id": work.branch.source_id, "items": items})
        for table in ("core.items", "core.item_versions", "core.embedding_requests"):
            connection.execute(f"vacuum (analyze) {table}".encode())
        connection.execute("checkpoint")
        yield _timed(f"derive: {what}", items, lambda work=work: derive_requests(work))
    yield _timed("whole ledger compared, nothing to do", items, lambda: reconcile(connection))


def _committed(connection: Connection, line: Line) -> Any:
    work = line.work(0, "accepted")
    connection.execute(
        """update ingest.activations set state = 'committed', accepted_at = now(), committed_at = now(), inserted = 0,
                  updated = 0, touched = 0, unchanged = 0, stale = 0 where activation_id = %s""",
        (work.activation.activation_id,),
    )
    return work


def _timed(what: str, items: int, work: Callable[[], Any]) -> Figure:
    began = time.perf_counter()
    work()
    return Figure(what, items, time.perf_counter() - began)


def small_model(connection: Connection) -> Model:
    """A model of few numbers, with a pending request for every item."""
    model, _ = add_model(connection, ModelSpec("openai", "scripted", DIMS))
    reconcile(connection, model=model)
    return model


def all_pending(connection: Connection, model: Model, *, settled: bool = True) -> None:
    """Everything is due again; `settled`: and nothing is left of what was done before."""
    connection.execute(_ALL_PENDING.encode(), {"model_id": model.model_id})
    if settled:
        connection.execute("truncate core.item_embeddings")
        connection.execute("vacuum (full, analyze) core.embedding_requests")
        connection.execute("vacuum (analyze) core.items")
    connection.execute("analyze core.embedding_requests")
    connection.execute("checkpoint")


def acknowledged(connection: Connection, model: Model, items: int) -> Iterator[Figure]:
    """Claim and acknowledge in batches of 500 by one and four processes; and again while vacuum is held back."""
    for workers in (1, 4):
        all_pending(connection, model)
        yield _drained("claim + acknowledge", model, items, workers)
    for workers in (1, 4):
        all_pending(connection, model)
        with _vacuum_held_back():
            yield _drained("vacuum held back", model, items, workers)
            all_pending(connection, model, settled=False)
            yield _drained("vacuum held back, all of it a second time", model, items, workers)


@contextmanager
def _vacuum_held_back() -> Iterator[None]:
    """A transaction elsewhere has a snapshot of now: no version of a row that is replaced can be taken away."""
    with session() as holding, holding.transaction():
        holding.execute("set transaction isolation level repeatable read")
        holding.execute("select count(*) from core.embedding_models")
        yield


def _drained(what: str, model: Model, items: int, workers: int) -> Figure:
    ready = _FORKS.Barrier(workers + 1)
    with _FORKS.Pool(workers, initializer=_begin, initargs=(ready,)) as pool:
        ready.wait()
        began = time.perf_counter()
        done = sum(pool.map(_drain, [model.model_id] * workers, chunksize=1))
        seconds = time.perf_counter() - began
    assert done == items, f"{done} of {items} were acknowledged"
    return Figure(f"{what}, {workers} {'process' if workers == 1 else 'processes'}", items, seconds)


def _begin(ready: Any) -> None:
    with session() as connection:
        connection.execute("select")
    ready.wait()


def _drain(model_id: int) -> int:
    done = 0
    with session() as connection:
        model = get_model(connection, model_id)
        vectors = np.ones((BATCH, model.dims), np.float32)
        queue, after = Queue(connection, model, Limits(batch_size=BATCH)), FROM_THE_START
        for branch_id in queue.branches():  # the only one, if another process has not done it all by now
            while claim := queue.claim(branch_id, after, BATCH):
                after = claim.after
                done += queue.complete(claim, range(len(claim)), vectors[: len(claim)])
    return done


def switched(connection: Connection, model: Model, items: int) -> Iterator[Figure]:
    """Searches switched to another model that is filled; and back, with the look at what it lacks before."""
    first = get_model(connection, 1)
    connection.execute(_ALL_DONE.encode())
    connection.execute("vacuum (full, analyze) core.embedding_requests")
    connection.execute("vacuum (analyze) core.items")
    yield _timed("switch of models", items, lambda: activate_model(connection, model, force=True))
    yield _timed("… with a look at what it lacks before", items, lambda: activate_model(connection, first))
