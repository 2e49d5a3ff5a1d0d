"""Items that change while workers claim, answer, die and return late: what is stored is never of another text."""

from dataclasses import dataclass, field, replace
from hashlib import md5
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.embeddings.providers import BadRequest, RateLimited, Transient
from ingest_project.embeddings.queue import FROM_THE_START, Claim
from ingest_project.postgres.connection import Connection
from ingest_project_tests.embeddings.working import QUICK, Ledger, Scripted, make_ledger, vector_of
from ingest_project_tests.upsert.making import Source

TEXTS = ("One", "Two", "Three")
ITEMS = 3
HASHES = {md5(text.encode()).hexdigest(): text for text in TEXTS}
Step = tuple[str, int, str]
DEEDS = (
    "change",
    "change without deriving",
    "derive",
    "delete",
    "claim",
    "answer",
    "refuse",
    "fail",
    "defer",
    "release",
)
steps = st.lists(
    st.tuples(st.sampled_from((*DEEDS, "expire", "renew")), st.integers(0, ITEMS - 1), st.sampled_from(TEXTS)),
    max_size=25,
)


@dataclass
class Story:
    """Workers by number, each with at most one claim, which it may bring back whenever it likes."""

    ledger: Ledger
    ids: list[int]
    claims: dict[int, Claim] = field(default_factory=dict[int, Claim])

    def take(self, deed: str, number: int, text: str) -> None:
        item_id = self.ids[number]
        if deed == "change":
            self.ledger.change(item_id, text)
        elif deed == "change without deriving":
            self.ledger.change(item_id, text, derive=False)
        elif deed == "derive":
            self.ledger.renew(item_id)
        elif deed == "delete":
            self.ledger.delete(item_id)
        elif deed == "expire":
            self.expire()
        else:
            self.work(deed, number)

    def expire(self) -> None:
        self.ledger.leases_run_out()
        self.ledger.queue().rescue()

    def work(self, deed: str, worker: int) -> None:
        queue = self.ledger.queue(replace(QUICK, attempts=30))
        if deed == "claim":
            self.ledger.due_now()
            if claim := queue.claim(self.ledger.branch_id, FROM_THE_START, 2):
                self.claims[worker] = claim  # what it held before is forgotten: it died
            return
        claim = self.claims.get(worker)
        if claim is None:
            return
        every = range(len(claim))
        if deed == "answer":
            vectors = np.array([vector_of(text) for text in claim.texts], np.float32)
            queue.complete(claim, every, vectors)
        elif deed == "refuse":
            queue.bury(claim, every[:1], BadRequest("no"))
        elif deed == "fail":
            queue.fail(claim, every, Transient("no"))
        elif deed == "defer":
            queue.defer(claim, every, RateLimited("no"), 1)
        elif deed == "release":
            queue.release(claim)
        else:
            queue.renew(claim)

    def vectors(self) -> list[tuple[int, str, list[float]]]:
        """(item, text whose hash is stored with it, vector)."""
        rows = self.ledger.connection.execute(
            """select item_id, replace(content_hash::text, '-', ''), embedding::real[] from core.item_embeddings
                where model_id = %s""",
            (self.ledger.model.model_id,),
        ).fetchall()
        return [(item_id, HASHES[found], vector) for item_id, found, vector in rows]


@pytest.mark.usefixtures("pgvector")
@settings(max_examples=60)
@given(taken=steps)
def test_what_is_stored_is_always_of_the_text_that_it_is_stored_for(
    any_source: Source, own_database: str, taken: list[Step]
) -> None:
    story = begun(any_source.connection, own_database)
    for step in taken:
        story.take(*step)
        for _, text, vector in story.vectors():
            assert vector == vector_of(text)
    all_ends_well(story)


def begun(connection: Connection, url: str) -> Story:
    ledger = make_ledger(connection, url)
    return Story(ledger, ledger.add(*TEXTS))


def all_ends_well(story: Story) -> None:
    """Derived and worked off, every live item has the vector of what it says, and late answers change nothing."""
    ledger = story.ledger
    for item_id in story.ids:
        ledger.renew(item_id)
    ledger.connection.execute(
        "update core.embedding_requests set status = 'p' where model_id = %s and status = 'x'", (ledger.model.model_id,)
    )
    story.expire()
    ledger.due_now()
    ledger.work(Scripted())
    for worker in list(story.claims):
        story.work("answer", worker)
    names: dict[int, Any] = dict(
        ledger.connection.execute(
            "select item_id, name from core.items where branch_id = %s and deleted_at is null", (ledger.branch_id,)
        ).fetchall()
    )
    stored = {item_id: vector for item_id, _, vector in story.vectors()}
    assert {item_id: stored[item_id] for item_id in names} == {at: vector_of(name) for at, name in names.items()}
    assert {at: row["status"] for at, row in ledger.requests().items() if at in names} == dict.fromkeys(names, "d")


def test_an_answer_that_comes_after_the_lease_ran_out_is_not_stored(ledger: Ledger) -> None:
    story = Story(ledger, ledger.add("One"))
    for step in (("claim", 0, ""), ("expire", 0, ""), ("answer", 0, "")):
        story.take(*step)
    assert (ledger.vectors(), ledger.states()) == ({}, {"p": 1})


def test_an_answer_for_an_earlier_text_is_not_stored(ledger: Ledger) -> None:
    story = Story(ledger, ledger.add("One"))
    for step in (("claim", 0, ""), ("change", 0, "Two"), ("answer", 0, "")):
        story.take(*step)
    assert (ledger.vectors(), ledger.states()) == ({}, {"p": 1})


def test_a_text_that_changed_before_its_request_did_is_embedded_as_it_is(ledger: Ledger) -> None:
    (item_id,) = ledger.add("One")
    ledger.change(item_id, "Two", derive=False)
    ledger.work(Scripted())
    assert ledger.vectors() == {item_id: vector_of("Two")}
    ledger.renew(item_id)
    assert ledger.states() == {"d": 1}, "and the derivation finds it done"


def test_a_request_for_an_item_that_is_gone_is_dropped(ledger: Ledger) -> None:
    ids = ledger.add("One", "Two")
    ledger.delete(ids[0])
    provider = Scripted()
    ledger.work(provider)
    assert provider.calls == [["Two"]]
    assert set(ledger.requests()) == {ids[1]}


@pytest.mark.parametrize("how", ["release", "fail", "defer", "refuse", "renew"])
def test_nothing_of_a_lost_lease_touches_what_another_worker_holds(ledger: Ledger, how: str) -> None:
    story = Story(ledger, ledger.add("One", "Two"))
    for step in (("claim", 0, ""), ("expire", 0, ""), ("claim", 1, "")):
        story.take(*step)
    before = ledger.requests()
    story.take(how, 0, "")
    assert ledger.requests() == before
    story.take("answer", 1, "")
    assert ledger.states() == {"d": 2}
