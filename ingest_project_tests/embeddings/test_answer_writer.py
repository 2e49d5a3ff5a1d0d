"""Answers are stored by a session of their own; what goes wrong there reaches the worker, and its leases go back."""

import time
from contextlib import AbstractContextManager

import pytest

from ingest_project import failpoints
from ingest_project.embeddings import answer_writer as writer_module
from ingest_project.embeddings.answer_writer import AnswerWriter
from ingest_project.embeddings.provider_call import Answer, call_provider
from ingest_project.embeddings.providers import Transient
from ingest_project.embeddings.queue import FROM_THE_START
from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres.connection import Connection
from ingest_project_tests.embeddings.working import QUICK, Ledger, Scripted, vector_of

# The worker's second session; the first one is the older of the two.
OTHERS = """select pid from pg_stat_activity
             where datname = current_database() and backend_type = 'client backend' and pid <> all(%s)
             order by backend_start desc"""


def test_answers_are_stored_and_stale_ones_are_told(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two")
    claim = ledger.queue().claim(ledger.branch_id, FROM_THE_START, 2)
    assert claim
    ledger.change(ids[1], "Other")
    with AnswerWriter(ledger.url, ledger.model, QUICK) as writer:
        writer.put(claim, call_provider(Scripted(), claim.texts))
        stored = writer.get(30)
    assert stored
    assert (stored.claim, stored.count) == (claim, 1)
    assert ledger.vectors() == {ids[0]: vector_of("One")}


def test_an_answer_without_vectors_passes_through(ledger: Ledger) -> None:
    ledger.add("One")
    claim = ledger.queue().claim(ledger.branch_id, FROM_THE_START, 1)
    assert claim
    answer = Answer(undecided=[0], error=Transient("no"))
    with AnswerWriter(ledger.url, ledger.model, QUICK) as writer:
        assert writer.get(0.01) is None
        writer.put(claim, answer)
        stored = writer.get(30)
    assert stored
    assert (stored.answer, stored.count, ledger.states()) == (answer, 0, {"l": 1})


@pytest.mark.usefixtures("disarmed")
def test_what_storing_raises_the_worker_raises_with_all_leases_handed_back(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(12)))
    failpoints.arm("answer_received!:2")
    with pytest.raises(failpoints.FailpointReached):
        ledger.work(Scripted(), calls=3)
    assert ledger.states() == {"d": 4, "p": 8}
    assert {row["attempts"] for row in ledger.requests().values()} == {0}


def test_a_lost_session_is_told_and_what_was_not_stored_waits_again(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(8)))
    known = [pid for (pid,) in ledger.connection.execute(OTHERS, ([],)).fetchall()]
    cut: list[int] = []

    def cutting(texts: list[str]) -> None:
        until = time.monotonic() + 30
        while not cut and time.monotonic() < until:
            if len(found := ledger.connection.execute(OTHERS, (known,)).fetchall()) > 1:
                cut.append(found[0][0])
                ledger.connection.execute("select pg_terminate_backend(%s)", cut)

    with pytest.raises(DatabaseUnreachable, match="Run the same command again"):
        ledger.work(Scripted(cutting))
    assert cut
    assert ledger.states() == {"p": 8}
    assert ledger.work(Scripted()).done == 8


def test_without_a_second_session_nothing_is_claimed_or_asked(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.add("One", "Two")
    provider = Scripted()

    def none_left(url: str | None) -> AbstractContextManager[Connection]:
        raise DatabaseUnreachable("Postgres has no place left")

    monkeypatch.setattr(writer_module, "session", none_left)
    with pytest.raises(DatabaseUnreachable, match="no place left"):
        ledger.work(provider)
    assert (provider.calls, ledger.states()) == ([], {"p": 2})
