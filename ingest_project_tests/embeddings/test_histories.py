"""Promise 5 over whole histories of several branches, and where two of them derive at once."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import count_unrequested, derive_requests
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.embeddings.asking import derived, requests
from ingest_project_tests.upsert.making import Row, Source, item


def waits_or_ends(watching: Connection, thread: threading.Thread, worker: psycopg.Connection[Any]) -> None:
    """Return when a thread has ended, or its session stands before a lock."""
    until = time.monotonic() + 30
    text = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
    while thread.is_alive() and watching.execute(text, (worker.info.backend_pid,)).fetchone() != (True,):
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_derivation_that_began_earlier_does_not_overwrite_a_later_text(source: Source, own_database: str) -> None:
    with session(own_database) as one, session(own_database) as other, session(own_database) as holding:
        low, high = source.line(1).on(one), source.line(2).on(other)
        derived(low, [item(1), item(2)])
        earlier, _ = low.apply([item(1, "Earlier", at=1), item(2, "Earlier", at=1)])
        held = source.items()["1"]["item_id"]
        errors: list[BaseException] = []

        def run(act: Callable[[], Any]) -> threading.Thread:
            def caught() -> None:
                try:
                    act()
                except BaseException as error:
                    errors.append(error)

            thread = threading.Thread(target=caught, daemon=True)
            thread.start()
            return thread

        with holding.transaction():  # the first statement has seen both items, and stands before the first request
            holding.execute("select from core.embedding_requests where item_id = %s for update", (held,))
            first = run(lambda: derive_requests(earlier))
            waits_or_ends(source.connection, first, one)
            later, _ = high.apply([item(2, "Later", at=2)])
            second = run(lambda: derive_requests(later))
            waits_or_ends(source.connection, second, other)
        for thread in (first, second):
            thread.join(30)
            assert not thread.is_alive()
    assert errors == []
    assert (source.items()["2"]["name"], requests(source)["2"]["current"]) == ("Later", True)
    after = Work(source.connection, later.lease, later.branch, later.activation)
    assert count_unrequested(after) == 0


Step = tuple[int, list[Row], bool]


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """(branch, rows, whether its requests are derived at once or only before the branch's next activation)."""
    names, times, phones = (st.sampled_from(of) for of in (("One", "Two"), (0, 1, 2), (None, "+4930123456")))
    return [
        (
            draw(st.integers(0, 2)),
            [
                item(key, draw(names), at=draw(times), phone=draw(phones))
                for key in draw(st.lists(st.sampled_from("abcd"), unique=True))
            ],
            draw(st.booleans()),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]


@settings(max_examples=20)
@given(taken=steps(), embed=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_after_every_derivation_nothing_is_unrequested(
    any_source: Source, taken: list[Step], embed: tuple[bool, ...]
) -> None:
    source = Source(any_source.connection)
    lines = [source.line(priority, embed=embed[priority]) for priority in range(3)]
    waiting: dict[int, Work] = {}
    ended: list[Work] = []

    def settle(branch: int) -> None:
        work = derive_requests(waiting.pop(branch)).work
        assert (count_unrequested(work), work.activation.state) == (0, "done")
        ended.append(work)

    for branch, rows, at_once in taken:
        if branch in waiting:
            settle(branch)
        waiting[branch] = lines[branch].apply(rows)[0]
        if at_once:
            settle(branch)
    for branch in list(waiting):
        settle(branch)
    if all(embed):
        assert [count_unrequested(work) for work in ended] == [0] * len(ended)
        assert set(requests(source)) == set(source.items())
        assert all(row["current"] for row in requests(source).values())
    embedded = {work.branch.branch_id for work in ended if work.branch.spec.embed}
    assert {key for key, row in source.items().items() if row["branch_id"] in embedded} == set(requests(source))
