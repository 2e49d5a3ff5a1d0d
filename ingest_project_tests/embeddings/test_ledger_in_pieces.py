"""First requests of many items, made side by side: the same ledger and the same count as one transaction makes."""

# pyright: reportPrivateUsage=false
# The tests stand where a piece inserts its requests.

import threading

import psycopg
import pytest

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.embeddings import ledger
from ingest_project.embeddings.ledger import count_unrequested, derive_requests
from ingest_project.errors import Fenced
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.embeddings.asking import requests
from ingest_project_tests.upsert.making import Source, item
from ingest_project_tests.upsert.meeting import PATIENCE

ROWS = [item(f"{at:02}") for at in range(40)]
pytestmark = pytest.mark.usefixtures("three_sessions")
KEYS = {str(row["external_id"]) for row in ROWS}


class Reached:
    """Stands in for failpoints.reach and keeps which thread reached which point; `then` acts on the first pieces."""

    def __init__(self, patch: pytest.MonkeyPatch, fails_at: int = 0) -> None:
        self.seen: list[tuple[str, str]] = []
        self._lock, self._fails_at = threading.Lock(), fails_at
        patch.setattr(failpoints, "reach", self.reach)

    def reach(self, name: str) -> None:
        with self._lock:
            self.seen.append((name, threading.current_thread().name))
            if name == "requests_made" and self._pieces == self._fails_at:
                raise RuntimeError("one piece fails")

    @property
    def _pieces(self) -> int:
        return sum(name == "requests_made" for name, _ in self.seen)

    @property
    def pieces(self) -> int:
        return self._pieces


def kept(connection: Connection, work: Work) -> activations.Activation:
    return activations.get(connection, work.branch.branch_id, work.activation.activation_id)


def test_pieces_make_what_one_transaction_makes(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    work, _ = source.line().apply(ROWS, 7)
    reached = Reached(monkeypatch)
    told = derive_requests(work)
    assert (told.made, told.renewed, told.dropped, reached.pieces) == (40, 0, 0, 3)
    assert (told.work.activation.state, told.work.activation.requests, count_unrequested(work)) == ("done", 40, 0)
    found = requests(source)
    assert set(found) == KEYS
    assert {(row["status"], row["attempts"], row["current"]) for row in found.values()} == {("p", 0, True)}


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_what_was_made_before_an_end_is_counted_and_not_made_again(
    source: Source, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = source.line().apply(ROWS, 7)
    with monkeypatch.context() as patch:
        Reached(patch, fails_at)
        with pytest.raises(RuntimeError, match="one piece fails"):
            derive_requests(work)
    half = kept(source.connection, work)
    assert (half.state, half.requests) == ("committed", len(requests(source)))
    assert 0 < len(requests(source)) <= 40
    told = derive_requests(work)
    assert told.made == 40 - (half.requests or 0)
    assert (told.work.activation.requests, set(requests(source)), count_unrequested(work)) == (40, KEYS, 0)


def test_a_piece_that_meets_a_request_is_made_the_general_way(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    # As where another one is about to make it: seen by neither, and in the way when both insert.
    work, _ = source.line().apply(ROWS, 7)
    real, met = ledger._request_inserted, list[bool]()

    def inserted(connection: Connection, values: dict[str, object]) -> tuple[int, bool]:
        if values["low"] is None and values["high"] is not None:
            met.append(True)
            return 0, False
        return real(connection, values)

    monkeypatch.setattr(ledger, "_request_inserted", inserted)
    told = derive_requests(work)
    assert (met, told.made, told.work.activation.requests) == ([True], 40, 40)
    assert (set(requests(source)), count_unrequested(work)) == (KEYS, 0)


def test_items_of_one_that_failed_before_are_not_forgotten(source: Source) -> None:
    line = source.line()
    first, _ = line.apply([item(f"old {at}") for at in range(3)])
    source.connection.execute(
        """update ingest.activations set state = 'failed', closed_at = now(), committed_at = null, error = '{}'
            where activation_id = %s""",
        (first.activation.activation_id,),
    )
    work, _ = line.apply(ROWS, 7)
    told = derive_requests(work)
    assert (told.made, told.work.activation.requests) == (43, 43)
    assert set(requests(source)) == KEYS | {f"old {at}" for at in range(3)}


def test_a_run_that_lost_the_branch_makes_none(source: Source, own_database: str) -> None:
    work, _ = source.line().apply(ROWS, 7)
    with session(own_database) as other:
        branch = work.branch
        leases.acquire(other, branch.branch_id, branch.name, holder="thief", run_id="thief", is_gone=lambda _: True)
    with pytest.raises(Fenced):
        derive_requests(work)
    assert requests(source) == {}


def test_pieces_wait_for_another_derivation_of_the_source(source: Source, own_database: str) -> None:
    work, _ = source.line().apply(ROWS, 7)
    told: list[int] = []
    deriving = threading.Thread(target=lambda: told.append(derive_requests(work).made), daemon=True)
    with session(own_database) as other, other.transaction():
        other.execute(ledger._SQL["lock_source"], {"source_id": work.branch.source_id})
        deriving.start()
        with session(own_database) as watching:
            for _ in range(int(PATIENCE * 50)):
                waits = watching.execute("select count(*) from pg_locks where not granted").fetchone()
                if waits and waits[0] >= 3:
                    break
                threading.Event().wait(0.02)
            else:
                pytest.fail("the pieces do not wait")
            asked = watching.execute(
                "select count(*) from core.embedding_requests r join core.items using (item_id) where source_id = %s",
                (work.branch.source_id,),
            ).fetchone()
            assert asked == (0,)
    deriving.join(PATIENCE)
    assert told == [40]


@pytest.mark.parametrize("rows", [[], ROWS[:9]], ids=["none", "too few"])
def test_few_are_made_in_one_transaction(
    source: Source, rows: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = source.line().apply(rows, 7)
    reached = Reached(monkeypatch)
    told = derive_requests(work)
    assert (told.made, reached.pieces, told.work.activation.state) == (len(rows), 0, "done")


def test_within_a_transaction_there_is_one_session(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    work, _ = source.line().apply(ROWS, 7)
    reached = Reached(monkeypatch)
    with work.connection.transaction():
        assert (derive_requests(work).made, reached.pieces) == (40, 0)


def test_an_error_of_postgres_in_a_piece_ends_them_all(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    work, _ = source.line().apply(ROWS, 7)
    real = activations.add_requests

    def cut_off(connection: Connection, activation: activations.Activation, made: int) -> activations.Activation:
        connection.execute("select pg_terminate_backend(pg_backend_pid())")
        return real(connection, activation, made)

    with monkeypatch.context() as patch:
        patch.setattr(activations, "add_requests", cut_off)
        with pytest.raises(psycopg.OperationalError):
            derive_requests(work)
    assert (requests(source), kept(source.connection, work).requests) == ({}, None)
    assert derive_requests(work).made == 40
