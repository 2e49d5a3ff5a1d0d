"""Promise 5: what an activation changed has its requests, for what it says now, and nothing else has."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import Derived, count_unrequested, derive_requests
from ingest_project.errors import Fenced
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.embeddings.asking import derived, requests
from ingest_project_tests.upsert.making import Line, Row, Source, item

MAKE_MODEL = """
insert into core.embedding_models (provider, model, version, dims, template, state)
values ('test', %(state)s, '1', 8, '{name}', %(state)s) returning model_id"""


def made_renewed_dropped(told: Derived) -> tuple[int, int, int]:
    return told.made, told.renewed, told.dropped


def set_done(source: Source) -> None:
    """As a worker that has embedded everything."""
    source.connection.execute(
        """update core.embedding_requests r set status = 'd', attempts = 3, completed_at = now(), run_id = 'worker'
             from core.items i join ingest.sources s using (source_id)
            where i.item_id = r.item_id and s.name = %(source)s""",
        {"source": source.name},
    )


def test_each_inserted_item_gets_a_pending_request_for_what_it_says(source: Source) -> None:
    told = derived(source.line(), [item(at) for at in range(5)], size=2)
    assert made_renewed_dropped(told) == (5, 0, 0)
    found = requests(source)
    assert set(found) == {"0", "1", "2", "3", "4"}
    assert {(row["status"], row["attempts"], row["current"]) for row in found.values()} == {("p", 0, True)}
    assert {row["branch_id"] for row in found.values()} == {told.work.branch.branch_id}


def test_an_activation_is_done_only_when_its_requests_are_derived(source: Source) -> None:
    work, _ = source.line().apply([item(1), item(2)])
    assert (work.activation.state, work.activation.requests, count_unrequested(work)) == ("committed", None, 2)
    told = derive_requests(work)
    assert (told.work.activation.state, told.work.activation.requests, count_unrequested(work)) == ("done", 2, 0)


def test_a_change_of_text_renews_the_request_and_forgets_its_past(source: Source) -> None:
    line = source.line()
    derived(line, [item(1), item(2)])
    set_done(source)
    told = derived(line, [item(1, "Renamed", at=1), item(2)])
    assert made_renewed_dropped(told) == (0, 1, 0)
    found = requests(source)
    assert (found["1"]["status"], found["1"]["attempts"], found["1"]["current"]) == ("p", 0, True)
    assert (found["1"]["completed_at"], found["1"]["run_id"]) == (None, None)
    assert (found["2"]["status"], found["2"]["attempts"]) == ("d", 3)


@pytest.mark.parametrize(
    "status",
    [
        "status = 'l', lease_id = gen_random_uuid(), leased_until = now() + interval '1 hour', run_id = 'worker'",
        "status = 'x', error_class = 'Poison', error = 'no'",
    ],
    ids=["leased", "dead"],
)
def test_a_request_in_any_state_is_renewed_when_its_text_changes(source: Source, status: str) -> None:
    line = source.line()
    derived(line, [item(1)])
    spoil = f"update core.embedding_requests set attempts = 9, rate_deferrals = 9, {status} where item_id = %s"
    source.connection.execute(spoil, (source.items()["1"]["item_id"],))
    assert derived(line, [item(1, "Renamed", at=1)]).renewed == 1
    row = requests(source)["1"]
    blank = ("error_class", "error", "lease_id", "leased_until", "run_id", "completed_at")
    assert [row[name] for name in blank] == [None] * len(blank)
    assert (row["status"], row["attempts"], row["rate_deferrals"], row["current"]) == ("p", 0, 0, True)


def test_a_change_of_a_column_that_is_not_embedded_causes_no_request(source: Source) -> None:
    line = source.line()
    derived(line, [item(1)])
    set_done(source)
    before = requests(source)
    told = derived(line, [item(1, at=1, phone="+4930123456", attributes='{"a": 1}')])
    assert made_renewed_dropped(told) == (0, 0, 0)
    assert source.items()["1"]["version"] == 2
    assert requests(source) == before


@pytest.mark.parametrize(
    "rows", [[item(1)], [item(1, at=1)], [item(1, "Older", at=-1)]], ids=["same", "touch", "stale"]
)
def test_rows_that_change_no_content_cause_no_request(source: Source, rows: list[Row]) -> None:
    line = source.line()
    derived(line, [item(1)])
    set_done(source)
    before = requests(source)
    assert made_renewed_dropped(derived(line, rows)) == (0, 0, 0)
    assert requests(source) == before


def test_a_branch_that_is_not_to_be_embedded_gets_none(source: Source) -> None:
    told = derived(source.line(embed=False), [item(1)])
    assert (told.requests, told.work.activation.state, count_unrequested(told.work)) == (0, "done", 0)
    assert requests(source) == {}


def test_the_branch_that_owns_an_item_decides_whether_it_is_embedded(source: Source) -> None:
    silent, speaking = source.line(1, embed=False), source.line(2)
    derived(silent, [item(1), item(2)])
    derived(speaking, [item(2, "Theirs")])
    assert set(requests(source)) == {"2"}


@pytest.fixture
def filling_and_retired(connection: Connection) -> Iterator[None]:
    """Two more models beside the active one, gone after the test."""
    made = [connection.execute(MAKE_MODEL, {"state": state}).fetchone() for state in ("filling", "retired")]
    yield
    for row in made:
        assert row is not None
        connection.execute("delete from core.embedding_requests where model_id = %s", row)
        connection.execute("delete from core.embedding_models where model_id = %s", row)


def test_a_model_being_filled_gets_requests_too_and_a_retired_one_none(
    source: Source, filling_and_retired: None
) -> None:
    line = source.line()
    assert made_renewed_dropped(derived(line, [item(1), item(2)])) == (4, 0, 0)
    assert made_renewed_dropped(derived(line, [item(1, "Renamed", at=1), item(2)])) == (0, 2, 0)
    for state, keys in (("active", {"1", "2"}), ("filling", {"1", "2"}), ("retired", set[str]())):
        found = requests(source, state)
        assert set(found) == keys
        assert all(row["current"] for row in found.values())


def delete_by(source: Source, line: Line, key: str) -> Work:
    """A next activation of the branch that deletes an item, as a tombstone or a rollback writes it."""
    work, _ = line.apply([])
    values = {"activation_id": work.activation.activation_id, "item_id": source.items()[key]["item_id"]}
    source.connection.execute(
        """with kept as (insert into core.item_versions
                  select %(activation_id)s, item_id, version + 1, 'd', to_jsonb(i), now()
                    from core.items i where item_id = %(item_id)s)
           update core.items set deleted_at = now(), version = version + 1 where item_id = %(item_id)s""",
        values,
    )
    return work


def test_requests_of_deleted_items_are_dropped_and_only_they(source: Source) -> None:
    line = source.line()
    derived(line, [item(1), item(2)])
    work = delete_by(source, line, "1")
    assert made_renewed_dropped(derive_requests(work)) == (0, 0, 1)
    assert set(requests(source)) == {"2"}


def test_an_item_revived_before_its_deletion_was_derived_keeps_its_request(source: Source) -> None:
    low, high = source.line(1), source.line(2)
    derived(low, [item(1), item(2)])
    deleting = delete_by(source, low, "1")
    reviving, _ = high.apply([item(1)])
    assert made_renewed_dropped(derive_requests(deleting)) == (0, 0, 0)
    assert made_renewed_dropped(derive_requests(reviving)) == (0, 0, 0)
    assert (set(requests(source)), count_unrequested(reviving)) == ({"1", "2"}, 0)


def test_a_revived_item_whose_request_was_dropped_gets_one_again(source: Source) -> None:
    line = source.line()
    derived(line, [item(1)])
    derive_requests(delete_by(source, line, "1"))
    assert made_renewed_dropped(derived(line, [item(1)])) == (1, 0, 0)
    assert requests(source)["1"]["current"]


def test_deriving_twice_is_deriving_once(source: Source) -> None:
    work, _ = source.line().apply([item(1), item(2)])
    first = derive_requests(work)
    set_done(source)
    before = requests(source)
    again = derive_requests(first.work)
    assert made_renewed_dropped(again) == (0, 0, 0)
    assert requests(source) == before
    assert again.work.activation == first.work.activation


@pytest.mark.parametrize("point", ["requests_derived", "activation_done"])
def test_a_crash_while_deriving_loses_nothing_and_doubles_nothing(source: Source, disarmed: None, point: str) -> None:
    work, _ = source.line().apply([item(1), item(2)])
    failpoints.arm(f"{point}!")
    with pytest.raises(FailpointReached):
        derive_requests(work)
    failpoints.arm("")
    ended = point == "activation_done"
    assert len(requests(source)) == (2 if ended else 0)
    found = activations.get(source.connection, work.branch.branch_id, work.activation.activation_id)
    assert found.state == ("done" if ended else "committed")
    told = derive_requests(work.on(found)).work
    assert (told.activation.state, told.activation.requests, count_unrequested(told)) == ("done", 2, 0)
    assert len(requests(source)) == 2


def test_a_run_that_lost_its_branch_derives_nothing(source: Source) -> None:
    work, _ = source.line().apply([item(1)])
    branch = work.branch
    leases.acquire(source.connection, branch.branch_id, branch.name, holder="thief", run_id="x", is_gone=lambda _: True)
    with pytest.raises(Fenced):
        derive_requests(work)
    assert requests(source) == {}


def test_an_activation_that_is_not_committed_cannot_be_derived(source: Source) -> None:
    work = source.line().work(1)
    with pytest.raises(Fenced):
        derive_requests(work)


def test_embedding_switched_on_asks_for_all_items_and_switched_off_withdraws_what_waits(source: Source) -> None:
    name = f"{source.name}, switched"
    rows = [item(at) for at in range(3)]
    assert made_renewed_dropped(derived(switched(source, name, embed=False), rows)) == (0, 0, 0)
    assert made_renewed_dropped(derived(switched(source, name, embed=True), rows)) == (3, 0, 0)
    assert made_renewed_dropped(derived(switched(source, name, embed=True), rows)) == (0, 0, 0)
    assert made_renewed_dropped(derived(switched(source, name, embed=False), rows)) == (0, 0, 3)
    assert requests(source) == {}


def test_what_is_embedded_stays_when_embedding_is_switched_off(source: Source) -> None:
    name = f"{source.name}, switched"
    derived(switched(source, name, embed=True), [item(1)])
    set_done(source)
    derived(switched(source, name, embed=False), [item(1)])
    assert requests(source)["1"]["status"] == "d"


def switched(source: Source, name: str, *, embed: bool) -> Line:
    source.line(name=name, embed=embed)
    return Line(source.connection, name)


def test_items_of_an_activation_that_failed_half_applied_are_asked_for_by_the_next(source: Source) -> None:
    line = source.line()
    work, _ = line.apply([item(1), item(2)])
    # As if it had not got to its end: its items are in core, and nobody will derive for it.
    source.connection.execute(
        "update ingest.activations set state = 'failed', closed_at = now(), committed_at = null "
        "where activation_id = %s",
        (work.activation.activation_id,),
    )
    told = derived(line, [item(1), item(2)])
    assert told.made == 2
    assert derived(line, [item(1), item(2)]).requests == 0


def test_an_item_of_one_that_failed_is_asked_for_by_what_it_says_now(source: Source) -> None:
    """It has a request by then, for the text that another branch gave it, and that text has changed since."""
    low, high = source.line(1), source.line(2)
    given_up, _ = low.apply([item(1)])
    source.connection.execute(
        "update ingest.activations set state = 'failed', closed_at = now(), committed_at = null "
        "where activation_id = %s",
        (given_up.activation.activation_id,),
    )
    derived(high, [item(1, "Two", at=1)])
    high.apply([item(1, "Three", at=2)])  # and has not got to its end
    assert not requests(source)["1"]["current"]
    assert made_renewed_dropped(derived(low, [item(1)])) == (0, 1, 0)
    assert requests(source)["1"]["current"]


@pytest.mark.parametrize("text", ["what the item says", "something older"])
def test_a_request_that_somebody_makes_meanwhile_is_met(source: Source, own_database: str, text: str) -> None:
    """First requests are a plain insert; where it fails, the general way looks at each."""
    work, _ = source.line().apply([item(1), item(2)])
    wanted = source.items()["1"]
    stored = wanted["embed_hash"] if text == "what the item says" else uuid4()
    with session(own_database) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute(
                """insert into core.embedding_requests (model_id, item_id, branch_id, content_hash)
                   select model_id, %s, %s, %s from core.embedding_models where state = 'active'""",
                (wanted["item_id"], wanted["branch_id"], stored),
            )
            deriving = pool.submit(derive_requests, work)
            waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
            pid = source.connection.info.backend_pid
            while other.execute(waits, (pid,)).fetchone() != (True,):
                assert not deriving.done(), "it did not meet the other's request"
        told = deriving.result(60)
    assert (told.made, told.renewed) == ((1, 0) if text == "what the item says" else (1, 1))
    assert {key: row["current"] for key, row in requests(source).items()} == {"1": True, "2": True}
