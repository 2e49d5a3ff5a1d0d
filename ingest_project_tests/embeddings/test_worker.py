"""What becomes of requests that a worker takes: stored, tried again, deferred, dead, handed back; and what it paid."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from ingest_project.embeddings.models import get_model
from ingest_project.embeddings.providers import AuthFailed, BadRequest, RateLimited, Transient, Vectors
from ingest_project.errors import ProviderUnusable
from ingest_project.postgres.connection import Connection
from ingest_project_tests.embeddings.working import DIMS, Ledger, Raising, Scripted, make_ledger, vector_of

REFUSED = BadRequest("400: no")


def test_every_pending_request_ends_with_the_vector_of_its_text(ledger: Ledger) -> None:
    ids = ledger.add(*(f"Item {n}" for n in range(10)))
    provider = Scripted()
    outcome = ledger.work(provider)
    assert (outcome.done, outcome.stale, outcome.dead, outcome.tokens, outcome.waiting) == (10, 0, 0, 10, None)
    assert [len(call) for call in provider.calls] == [4, 4, 2]
    assert ledger.vectors() == {item_id: vector_of(f"Item {n}") for n, item_id in enumerate(ids)}
    assert ledger.states() == {"d": 10}


def test_a_second_run_has_nothing_to_do(ledger: Ledger) -> None:
    ledger.add("One", "Two")
    ledger.work(Scripted())
    provider = Scripted()
    assert ledger.work(provider).done == 0
    assert provider.calls == []


def test_identical_texts_are_sent_once(ledger: Ledger) -> None:
    ids = ledger.add("Same", "Other", "Same", "Same")
    provider = Scripted()
    assert ledger.work(provider).done == 4
    assert provider.calls == [["Same", "Other"]]
    assert [ledger.vectors()[item_id] for item_id in ids] == [vector_of(n) for n in ("Same", "Other", "Same", "Same")]


def test_a_claim_keeps_to_the_token_budget_but_takes_at_least_one(ledger: Ledger) -> None:
    ledger.add("a" * 40, "b" * 40, "c" * 400, "d")
    provider = Scripted()
    ledger.work(provider, batch_tokens=25)
    assert [[text[0] for text in call] for call in provider.calls] == [["a", "b"], ["c"], ["d"]]


def test_a_worker_stops_at_its_limit(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(10)))
    outcome = ledger.work(Scripted(), max_requests=5)
    assert (outcome.done, outcome.stopped) == (5, True)
    assert ledger.states() == {"d": 5, "p": 5}


def test_a_failure_that_may_pass_charges_one_attempt_and_waits(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two")
    outcome = ledger.work(Scripted(Raising([Transient("500: oops", error_class="http_500")])))
    assert (outcome.done, outcome.failed, outcome.dead) == (0, 2, 0)
    assert outcome.waiting is not None
    assert 0 < outcome.waiting <= 2
    found = ledger.requests()
    assert {(found[at]["attempts"], found[at]["error_class"], found[at]["error"]) for at in ids} == {
        (1, "http_500", "500: oops")
    }
    assert len({found[at]["next_attempt_at"] for at in ids}) == 1, "the batch stays whole"
    ledger.due_now()
    assert ledger.work(Scripted()).done == 2
    assert {row["error_class"] for row in ledger.requests().values()} == {None}


def test_waits_double_up_to_a_longest(ledger: Ledger) -> None:
    (item_id,) = ledger.add("One")
    waits: list[float] = []
    for _ in range(9):
        ledger.due_now()
        ledger.work(Scripted(Raising([Transient("500")] * 3)))
        row = ledger.requests()[item_id]
        waits.append((row["next_attempt_at"] - row["updated_at"]).total_seconds())
    assert all(2**n <= wait <= 2 ** (n + 1) for n, wait in enumerate(waits[:8]))
    assert waits[8] <= 600


def test_attempts_used_up_are_the_end(ledger: Ledger) -> None:
    ledger.add("One")
    for _ in range(3):
        ledger.due_now()
        outcome = ledger.work(Scripted(Raising([Transient("500: oops")] * 3)), attempts=3)
    assert (outcome.dead, outcome.failed) == (1, 0)
    assert ledger.states() == {"x": 1}
    ledger.due_now()
    assert ledger.work(Scripted()).done == 0


def test_too_fast_is_no_attempt_and_all_workers_wait(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two")
    outcome = ledger.work(Scripted(Raising([RateLimited("429: slow down", retry_after=30)])))
    assert (outcome.done, outcome.deferred, outcome.failed) == (0, 2, 0)
    assert outcome.waiting is not None
    assert 25 < outcome.waiting <= 30
    found = ledger.requests()
    assert {(found[at]["status"], found[at]["attempts"], found[at]["rate_deferrals"]) for at in ids} == {("p", 0, 1)}
    ledger.add("Three")
    provider = Scripted()
    assert ledger.work(provider).done == 0, "due, but the provider asked for quiet"
    assert provider.calls == []
    ledger.due_now()
    assert ledger.work(provider).done == 3


def test_without_a_time_the_pause_doubles_with_each_failure_in_a_row(ledger: Ledger) -> None:
    ledger.add("One")
    pauses: list[float] = []
    for _ in range(4):
        ledger.due_now()
        outcome = ledger.work(Scripted(Raising([RateLimited("429")])))
        assert outcome.waiting is not None
        pauses.append(outcome.waiting)
    for pause, most in zip(pauses, (0.5, 1, 2, 4), strict=True):
        assert most / 2 < pause <= most
    ledger.due_now()
    assert ledger.work(Scripted()).done == 1
    row = ledger.connection.execute(
        "select failures from core.embedding_endpoints where endpoint = %s", (ledger.model.endpoint,)
    ).fetchone()
    assert row == (0,)


@pytest.mark.usefixtures("pgvector")
def test_an_endpoint_that_asks_for_a_pause_leaves_others_of_its_provider_alone(
    connection: Connection, own_database: str
) -> None:
    asking, other = make_ledger(connection, own_database), make_ledger(connection, own_database)
    connection.execute(
        """update core.embedding_models set provider = %s, version = '2',
                  options = '{"base_url": "http://other.example/v1"}' where model_id = %s""",
        (asking.model.provider, other.model.model_id),
    )
    other = replace(other, model=get_model(connection, other.model.model_id))
    assert other.model.endpoint == f"{asking.model.endpoint} at http://other.example/v1"
    for ledger in (asking, other):
        ledger.add("One")
    asking.work(Scripted(Raising([RateLimited("429", retry_after=30)])))
    assert other.work(Scripted()).done == 1
    assert asking.work(Scripted()).done == 0
    asking.due_now()


def refusing(*poison: str) -> Scripted:
    def act(texts: list[str]) -> None:
        if set(poison) & set(texts):
            raise REFUSED

    return Scripted(act)


@pytest.mark.parametrize("poison", [["Item 0"], ["Item 6"], ["Item 3", "Item 4"], ["Item 7", "Item 0", "Item 5"]])
def test_a_text_that_is_refused_dies_alone(ledger: Ledger, poison: list[str]) -> None:
    ids = ledger.add(*(f"Item {n}" for n in range(8)))
    outcome = ledger.work(refusing(*poison), batch_size=8)
    assert (outcome.done, outcome.dead) == (8 - len(poison), len(poison))
    dead = {at for at, row in ledger.requests().items() if row["status"] == "x"}
    assert dead == {ids[int(name.split()[1])] for name in poison}
    assert {ledger.requests()[at]["error"] for at in dead} == {str(REFUSED)}
    assert set(ledger.vectors()) == set(ids) - dead


def test_a_provider_that_refuses_everything_is_set_up_wrong_and_nothing_dies(ledger: Ledger) -> None:
    ids = ledger.add(*(f"Item {n}" for n in range(8)))

    def act(texts: list[str]) -> None:
        raise REFUSED

    provider = Scripted(act)
    with pytest.raises(ProviderUnusable, match="refuses every text"):
        ledger.work(provider)
    assert len(provider.calls) == 2
    assert {(ledger.requests()[at]["status"], ledger.requests()[at]["attempts"]) for at in ids} == {("p", 0)}


def test_a_wrong_key_stops_without_charge(ledger: Ledger) -> None:
    ids = ledger.add(*(f"Item {n}" for n in range(8)))
    with pytest.raises(ProviderUnusable, match="401: wrong key") as caught:
        ledger.work(Scripted(Raising([AuthFailed("401: wrong key", "Mend the key.")] * 9)), calls=2)
    assert caught.value.todo == "Mend the key."
    assert {(ledger.requests()[at]["status"], ledger.requests()[at]["attempts"]) for at in ids} == {("p", 0)}


def test_a_provider_that_takes_fewer_at_once_is_given_fewer(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(40)))

    def act(texts: list[str]) -> None:
        if len(texts) > 3:
            raise REFUSED

    provider = Scripted(act)
    assert ledger.work(provider, batch_size=8).done == 40
    refused = [call for call in provider.calls if len(call) > 3]
    assert len(refused) <= 5, "it learns"


def test_a_text_that_brings_the_provider_down_is_found_at_the_third_attempt(ledger: Ledger) -> None:
    ids = ledger.add(*(f"Item {n}" for n in range(4)))

    def act(texts: list[str]) -> None:
        if "Item 2" in texts:
            raise Transient("500: out of memory", error_class="http_500")

    for _ in range(3):
        ledger.due_now()
        ledger.work(Scripted(act), attempts=3)
    assert set(ledger.vectors()) == {ids[0], ids[1], ids[3]}
    assert ledger.requests()[ids[2]]["status"] == "x"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (np.ones((1, DIMS), np.float32), "2 texts were sent, 1 vectors"),
        (np.full((2, DIMS), np.nan, np.float32), "NaN"),
        (np.array([[1] * DIMS, [0] * DIMS], np.float32), "zero"),
        (np.ones(2, np.float32), "2 texts were sent"),
    ],
)
def test_what_makes_no_sense_is_not_stored(ledger: Ledger, answer: Vectors, error: str) -> None:
    ledger.add("One", "Two")
    outcome = ledger.work(Scripted(lambda texts: answer))
    assert (outcome.done, outcome.failed) == (0, 2)
    assert ledger.vectors() == {}
    assert all(error in row["error"] for row in ledger.requests().values())


def test_other_dimensions_are_a_matter_of_configuration(ledger: Ledger) -> None:
    ledger.add("One", "Two")
    with pytest.raises(ProviderUnusable, match="9 dimensions, the model is registered with 8"):
        ledger.work(Scripted(lambda texts: np.ones((len(texts), 9), np.float32)))
    assert ledger.states() == {"p": 2}


def test_an_error_that_nobody_foresaw_is_kept_by_its_name(ledger: Ledger) -> None:
    ledger.add("One")

    def act(texts: list[str]) -> None:
        raise ZeroDivisionError("in the runtime")

    assert ledger.work(Scripted(act)).failed == 1
    (row,) = ledger.requests().values()
    assert (row["error_class"], row["error"]) == ("unexpected", "ZeroDivisionError: in the runtime")


def test_told_to_stop_it_hands_back_what_is_not_answered(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(12)))
    stop, answer = threading.Event(), threading.Event()

    def act(texts: list[str]) -> None:
        if "Item 4" in texts:
            stop.set()
            answer.wait(60)

    outcome = ledger.work(Scripted(act), stop, grace=0.1)
    answer.set()
    assert (outcome.done, outcome.stopped) == (4, True)
    assert ledger.states() == {"d": 4, "p": 8}
    assert {row["attempts"] for row in ledger.requests().values()} == {0}


def test_told_to_stop_it_takes_what_comes_in_within_the_grace(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(12)))
    stop = threading.Event()
    assert ledger.work(Scripted(lambda texts: stop.set()), stop).done == 4


def test_interrupted_by_an_exception_it_hands_back_everything(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(12)))
    broken = Ledger(ledger.connection, ledger.url, ledger.model, ledger.branch_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest_project.embeddings.queue.Queue.complete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            broken.work(Scripted(), calls=2)
    assert ledger.states() == {"p": 12}


def interrupted(*_: object) -> int:
    raise KeyboardInterrupt


def test_a_bounded_number_of_calls_is_in_flight(ledger: Ledger) -> None:
    ledger.add(*(f"Item {n}" for n in range(40)))
    lock, flying, most = threading.Lock(), [0], [0]
    together = threading.Barrier(3)

    def act(texts: list[str]) -> None:
        with lock:
            flying[0] += 1
            most[0] = max(most[0], flying[0])
        if "Item 39" not in texts:
            together.wait(60)
        with lock:
            flying[0] -= 1

    assert ledger.work(Scripted(act), calls=3).done == 40
    assert most == [3]
