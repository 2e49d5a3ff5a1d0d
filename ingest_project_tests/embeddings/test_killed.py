"""Workers that die at any instant, and several at once: nothing is lost, little paid twice, none embedded twice."""

import os
import random
import signal
import threading
import time
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess

import pytest

from ingest_project.embeddings.models import active_model, working_models
from ingest_project.postgres.connection import session
from ingest_project_tests.crashing import points
from ingest_project_tests.embeddings.asking import derived, requests
from ingest_project_tests.embeddings.killed import reconcile_by_two, start, start_to, switch
from ingest_project_tests.embeddings.modelling import added, assert_true
from ingest_project_tests.embeddings.serving import Reply, answer_to, ok, serving
from ingest_project_tests.embeddings.working import QUICK, Ledger, vector_of
from ingest_project_tests.upsert.making import Source, item

pytest.importorskip("openai")

BATCH = 5
POINTS = ("requests_claimed", "answer_received", "vectors_committed")
SWITCHING, RECONCILING = "model_stepped_down", "range_reconciled"


def names(count: int) -> list[str]:
    return [f"Item {n}" for n in range(count)]


def all_true(ledger: Ledger, ids: list[int]) -> bool:
    wanted = {item_id: vector_of(name) for item_id, name in zip(ids, names(len(ids)), strict=True)}
    return ledger.vectors() == wanted and ledger.states() == {"d": len(ids)}


def ended(worker: BaseProcess, code: int) -> None:
    worker.join(120)
    assert worker.exitcode == code


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_nothing_is_lost_and_one_batch_paid_twice_at_most(ledger: Ledger, point: str) -> None:
    ids = ledger.add(*names(20))
    limits = replace(QUICK, batch_size=BATCH)
    with serving() as endpoint:
        ended(start(ledger.url, ledger.model.model_id, endpoint.url, limits, f"{point}:2"), -signal.SIGKILL)
        ledger.leases_run_out()
        ended(start(ledger.url, ledger.model.model_id, endpoint.url, limits), 0)
        assert all_true(ledger, ids)
        assert set(endpoint.paid) == set(names(20))
        assert sum(endpoint.paid.values()) <= 20 + BATCH
    paid_for = {row["item_id"] for row in ledger.requests().values() if row["attempts"]}
    assert len(paid_for) <= BATCH, "an attempt was charged to those that it held"


def test_every_point_of_the_code_is_killed_at() -> None:
    assert points("embeddings") - points("embeddings/ledger.py") == {*POINTS, SWITCHING, RECONCILING}


def test_killed_between_models_the_first_is_still_the_active_one(pgvector: None, fresh_database: str) -> None:
    with session(fresh_database) as connection:
        (first,), second = working_models(connection), added(connection)
        ended(start_to(partial(switch, fresh_database, second.model_id), SWITCHING), -signal.SIGKILL)
        assert active_model(connection) == first, "what was interrupted did not happen"
        switch(fresh_database, second.model_id)
        assert {one.model_id: one.state for one in working_models(connection)} == {
            first.model_id: "filling",
            second.model_id: "active",
        }


def test_killed_between_ranges_a_ledger_is_healed_by_the_next(pgvector: None, fresh_database: str) -> None:
    with session(fresh_database) as connection:
        source = Source(connection)
        derived(source.line(), [item(at) for at in range(5)])
        connection.execute("delete from core.embedding_requests")
        ended(start_to(partial(reconcile_by_two, fresh_database), RECONCILING), -signal.SIGKILL)
        assert len(requests(source)) == 2
        reconcile_by_two(fresh_database)
        assert_true(connection)


def test_killed_again_and_again_at_random_nothing_is_lost(ledger: Ledger) -> None:
    ids = ledger.add(*names(300))
    limits, kills = replace(QUICK, batch_size=BATCH, patience=30, attempts=30), 0

    def slow(texts: list[str]) -> Reply:
        time.sleep(0.005)
        return ok(answer_to(texts))

    with serving() as endpoint:
        endpoint.usual = slow
        while kills < 6:
            worker = start(ledger.url, ledger.model.model_id, endpoint.url, limits)
            time.sleep(random.uniform(0.05, 0.3))
            worker.kill()
            worker.join()
            kills += worker.exitcode == -signal.SIGKILL
            ledger.leases_run_out()
            if worker.exitcode == 0:
                break
        ended(start(ledger.url, ledger.model.model_id, endpoint.url, limits), 0)
        assert all_true(ledger, ids)
        assert sum(endpoint.paid.values()) <= 300 + BATCH * kills


def test_terminated_it_hands_back_its_leases(ledger: Ledger) -> None:
    ids = ledger.add(*names(10))
    arrived, go_on = threading.Event(), threading.Event()

    def waiting(texts: list[str]) -> Reply:
        arrived.set()
        go_on.wait(60)
        return ok(answer_to(texts))

    with serving() as endpoint:
        endpoint.usual = waiting
        worker = start(ledger.url, ledger.model.model_id, endpoint.url, replace(QUICK, batch_size=BATCH))
        assert arrived.wait(60)
        assert worker.pid
        os.kill(worker.pid, signal.SIGINT)
        worker.join(60)
        go_on.set()
    assert ledger.states() == {"p": len(ids)}
    assert {row["attempts"] for row in ledger.requests().values()} == {0}


def test_four_workers_embed_each_item_once(ledger: Ledger) -> None:
    ids = ledger.add(*names(400))
    limits = replace(QUICK, batch_size=7, calls=2)
    with serving() as endpoint:
        workers = [start(ledger.url, ledger.model.model_id, endpoint.url, limits) for _ in range(4)]
        for worker in workers:
            ended(worker, 0)
        assert all_true(ledger, ids)
        assert set(endpoint.paid.values()) == {1}


def test_a_transaction_held_open_elsewhere_stops_nobody(ledger: Ledger) -> None:
    with session(ledger.url) as other, other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from core.embedding_requests")
        ids = ledger.add(*names(50))
        with serving() as endpoint:
            ended(start(ledger.url, ledger.model.model_id, endpoint.url, replace(QUICK, batch_size=7)), 0)
            assert all_true(ledger, ids)
            assert set(endpoint.paid.values()) == {1}


def test_a_request_that_is_locked_elsewhere_is_left_for_later(ledger: Ledger) -> None:
    ids = ledger.add(*names(6))
    with session(ledger.url) as other, other.transaction(), serving() as endpoint:
        other.execute("select from core.embedding_requests where item_id = %s for update", (ids[2],))
        ended(start(ledger.url, ledger.model.model_id, endpoint.url, QUICK), 0)
        assert endpoint.paid == {name: 1 for at, name in enumerate(names(6)) if at != 2}


@pytest.mark.parametrize("retry_after", [True, False])
def test_throttled_it_goes_on_as_soon_as_it_may(ledger: Ledger, retry_after: bool) -> None:
    ids = ledger.add(*names(60))
    busy = iter(range(10**9))

    def throttled(texts: list[str]) -> Reply:
        if next(busy) % 3 == 2:
            return 429, {"Retry-After": "0.05"} if retry_after else {}, b"{}"
        return ok(answer_to(texts))

    with serving() as endpoint:
        endpoint.usual = throttled
        ended(start(ledger.url, ledger.model.model_id, endpoint.url, replace(QUICK, batch_size=10, patience=60)), 0)
        assert all_true(ledger, ids)
    found = ledger.requests().values()
    assert {row["attempts"] for row in found} == {0}
    assert sum(row["rate_deferrals"] for row in found) % 10 == 0, "batches stay whole"
