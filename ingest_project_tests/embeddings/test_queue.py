"""The order of the queue, its plans on a large ledger, and what is said where there is no pgvector."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from ingest_project.embeddings import queue as module
from ingest_project.embeddings.providers import Transient
from ingest_project.embeddings.queue import FROM_THE_START, estimate, require_vectors, retry_dead
from ingest_project.embeddings.worker import run_worker
from ingest_project.errors import VectorsMissing
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import migrate
from ingest_project_tests.embeddings.working import DIMS, Ledger, Raising, Scripted, vector_of


def test_what_is_due_longest_comes_first(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two", "Three")
    ledger.connection.execute(
        "update core.embedding_requests set next_attempt_at = now() - interval '1 hour' where item_id = %s", (ids[2],)
    )
    queue = ledger.queue()
    first = queue.claim(ledger.branch_id, FROM_THE_START, 2)
    assert first
    assert first.item_ids == [ids[2], ids[0]]
    second = queue.claim(ledger.branch_id, first.after, 2)
    assert second
    assert second.item_ids == [ids[1]]
    assert queue.claim(ledger.branch_id, second.after, 2) is None


def test_what_is_handed_back_is_found_from_the_start(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two")
    queue = ledger.queue()
    claim = queue.claim(ledger.branch_id, FROM_THE_START, 2)
    assert claim
    queue.release(claim, [1])
    assert queue.claim(ledger.branch_id, claim.after, 2) is None
    assert queue.next_due(ledger.branch_id) == 0
    again = queue.claim(ledger.branch_id, FROM_THE_START, 2)
    assert again
    assert again.item_ids == [ids[1]]


def test_the_next_is_due_when_the_nearest_lease_runs_out(ledger: Ledger) -> None:
    queue = ledger.queue()
    assert queue.next_due(ledger.branch_id) is None
    ledger.add("One")
    assert queue.claim(ledger.branch_id, FROM_THE_START, 2)
    due = queue.next_due(None)
    assert due is not None
    assert 50 < due <= 60


def test_requests_that_were_moved_by_a_renewed_lease_are_completed_all_the_same(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two", "Three")
    queue = ledger.queue()
    claim = queue.claim(ledger.branch_id, FROM_THE_START, 3)
    assert claim
    queue.renew(claim)
    ledger.change(ids[1], "Other")
    assert queue.complete(claim, range(3), np.ones((3, DIMS), np.float32)) == 2
    assert set(ledger.vectors()) == {ids[0], ids[2]}
    assert ledger.states() == {"d": 2, "p": 1}


@pytest.mark.parametrize("how", ["renew", "release"])
def test_a_request_that_is_being_completed_is_neither_waited_for_nor_touched(ledger: Ledger, how: str) -> None:
    ids = ledger.add("One", "Two", "Three")
    queue = ledger.queue()
    claim = queue.claim(ledger.branch_id, FROM_THE_START, 3)
    assert claim
    before = ledger.requests()
    ledger.connection.execute("set lock_timeout = '2s'")
    with session(ledger.url) as other, other.transaction():
        other.execute("select from core.embedding_requests where item_id = %s for no key update", (ids[1],))
        getattr(queue, how)(claim)
    after = ledger.requests()
    assert [item_id for item_id in ids if after[item_id] != before[item_id]] == [ids[0], ids[2]]
    assert {after[item_id]["status"] for item_id in (ids[0], ids[2])} == {"l" if how == "renew" else "p"}


def test_what_lies_where_a_request_lay_is_not_taken_for_it(ledger: Ledger) -> None:
    ledger.add("One", "Two")
    queue = ledger.queue()
    claim = queue.claim(ledger.branch_id, FROM_THE_START, 2)
    assert claim
    swapped = replace(claim, ctids=claim.ctids[::-1])
    assert queue.complete(swapped, range(2), np.array([[1] * DIMS, [2] * DIMS], np.float32)) == 2
    assert [ledger.vectors()[item_id][0] for item_id in claim.item_ids] == [1, 2], "found again, each its own"


def test_a_vector_that_is_there_is_replaced_and_others_are_added(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two")
    ledger.work(Scripted())
    ledger.change(ids[0], "Three")
    (new,) = ledger.add("Four")
    assert ledger.work(Scripted()).done == 2
    assert ledger.vectors() == {at: vector_of(name) for at, name in ((ids[0], "Three"), (ids[1], "Two"), (new, "Four"))}
    assert ledger.untrue() == []


@pytest.fixture
def large(ledger: Ledger) -> Ledger:
    """Enough requests that reading all of them is noticed."""
    ledger.add(*(f"Item {n}" for n in range(20_000)))
    ledger.connection.execute("vacuum analyze core.embedding_requests")
    ledger.connection.execute("vacuum analyze core.items")
    return ledger


def scanned(ledger: Ledger, statement: sql.SQL | sql.Composed, **values: object) -> list[str]:
    """Tables of ours that are read as a whole, and for what the plan reads most."""
    whole = sql.SQL("explain (analyze, format json) ") + statement
    with ledger.connection.transaction(force_rollback=True):
        row = ledger.connection.execute(whole, {**values, "model_id": ledger.model.model_id}).fetchone()
    assert row
    return [node["Relation Name"] for node in nodes(row[0][0]["Plan"]) if node["Node Type"] == "Seq Scan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.parametrize("count", [100, 1000])
def test_claiming_and_completing_never_read_the_whole_ledger(large: Ledger, count: int) -> None:
    queue = large.queue()
    claim = queue.claim(large.branch_id, FROM_THE_START, count)
    assert claim
    assert "embedding_requests" not in scanned(
        large,
        queue._claim,  # pyright: ignore[reportPrivateUsage]
        branch_id=large.branch_id, endpoint="none", after="-infinity", after_item=0, count=100, tokens=10**6,
        bytes_per_token=4, lease_id=claim.lease_id, lease_seconds=60, run_id="-",
    )  # fmt: skip
    vectors = np.ones((count, DIMS), np.float32)
    arrays = module._arrays(claim, range(count), vectors, queue._vector_oid)  # pyright: ignore[reportPrivateUsage]
    statement = module._SQL["complete"]  # pyright: ignore[reportPrivateUsage]
    assert "embedding_requests" not in scanned(large, statement, lease_id=claim.lease_id, **arrays)


def test_an_estimate_counts_what_waits(ledger: Ledger) -> None:
    ledger.add("a" * 400, "b" * 400)
    found = estimate(ledger.connection, ledger.model, ledger.branch_id)
    assert (found.items, found.tokens, found.usd) == (2, 200, None)
    assert estimate(ledger.connection, ledger.model, ledger.branch_id + 1).items == 0


def test_the_dead_are_tried_again_by_what_they_died_of(ledger: Ledger) -> None:
    ledger.add("One", "Two")
    ledger.work(Scripted(Raising([Transient("500", error_class="http_500")])), attempts=1)
    assert ledger.states() == {"x": 2}
    assert retry_dead(ledger.connection, ledger.branch_id, "refused") == 0
    assert retry_dead(ledger.connection, ledger.branch_id, "http_500") == 2
    assert ledger.states() == {"p": 2}
    ledger.due_now()
    assert ledger.work(Scripted()).done == 2


def test_without_pgvector_the_command_for_the_dba_is_shown(empty_database: str) -> None:
    with session() as connection:
        row = connection.execute("select exists (select from pg_available_extensions where name = 'vector')").fetchone()
        if row == (True,):  # as good as not there
            connection.execute("create schema extensions")
            connection.execute("create extension vector schema extensions")
        migrate()
        with pytest.raises(VectorsMissing) as caught:
            require_vectors(connection)
        assert "As the DBA, in this database: create extension vector;" in str(caught.value)
        with pytest.raises(VectorsMissing):
            run_worker(empty_database, model_id=1)


def test_numbers_arrive_as_they_were_sent(ledger: Ledger) -> None:
    (item_id,) = ledger.add("One")
    sent = np.array([[1e-30, -1.5, 3.4e38, 1 / 3, 0.0, 7, -0.1, 2**24]], np.float32)
    ledger.work(Scripted(lambda texts: sent))
    assert np.array_equal(np.array(ledger.vectors()[item_id], np.float32), sent[0])
