"""The whole ledger against the items: what it heals, what it leaves, and that it always ends where it should."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project import failpoints
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.embeddings.models import activate_model, add_model, retire_model, working_models
from ingest_project.embeddings.reconcile import (
    _SQL,  # pyright: ignore[reportPrivateUsage]
    Differences,
    reconcile,
)
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.pulses import pulses
from ingest_project.upsert.id_ranges import id_ranges
from ingest_project_tests.conftest import _database
from ingest_project_tests.embeddings.asking import derived, requests
from ingest_project_tests.embeddings.modelling import alone, assert_true, declared, embed, empty, shared, told
from ingest_project_tests.upsert.making import Line, Row, Source, item
from ingest_project_tests.upsert.test_plans_explain import FILL, nodes
from ingest_project_tests.upsert.undoing import rolled_back

pytestmark = pytest.mark.usefixtures("pgvector")

__all__ = ["alone", "shared"]


def test_what_is_true_is_left_as_it_is(alone: Source) -> None:
    derived(alone.line(), [item(at) for at in range(5)])
    (model,) = working_models(alone.connection)
    embed(alone.connection, model)
    before = told(alone.connection, "select r, r.ctid from core.embedding_requests r")
    assert reconcile(alone.connection) == Differences()
    assert not reconcile(alone.connection)
    assert told(alone.connection, "select r, r.ctid from core.embedding_requests r") == before


def test_a_text_that_goes_back_finds_its_vector(alone: Source) -> None:
    """Rolled back before anybody embedded what it said, an activation leaves nothing to embed and nothing to mend."""
    line = alone.line()
    derived(line, [item(1), item(2)])
    (model,) = working_models(alone.connection)
    embed(alone.connection, model)
    changed = derived(line, [item(1, "Changed", at=1), item(2), item(3)])
    assert {key: row["status"] for key, row in requests(alone).items()} == {"1": "p", "2": "d", "3": "p"}
    undone = rolled_back(line, changed.work.activation.activation_id)
    assert (undone.renewed, undone.answered, undone.requests, undone.dropped) == (1, 1, 0, 1)
    assert undone.work.activation.requests == 0
    assert {key: row["status"] for key, row in requests(alone).items()} == {"1": "d", "2": "d"}
    assert reconcile(alone.connection, repair=False) == Differences()


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        # Made anew, they wait for a vector that is there.
        ("delete from core.embedding_requests", Differences(missing=5, found=5)),
        ("update core.embedding_requests set content_hash = gen_random_uuid()", Differences(changed=5, found=5)),
        ("update core.items set deleted_at = now()", Differences(unwanted=5, orphans=5)),
        ("delete from core.items", Differences(unwanted=5, orphans=5)),
        ("delete from core.item_embeddings", Differences(lost=5)),
        ("update core.item_embeddings set content_hash = gen_random_uuid()", Differences(lost=5)),
        ("update core.embedding_requests set status = 'p', completed_at = null", Differences(found=5)),
        ("update ingest.branches set spec = spec || '{\"embed\": false}'", Differences(unwanted=5, orphans=5)),
        (
            "insert into core.embedding_requests (model_id, item_id, branch_id, content_hash) "
            "select model_id, 1000 + item_id, branch_id, content_hash from core.embedding_requests",
            Differences(unwanted=5),
        ),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_whatever_was_spoiled_is_found_and_mended(alone: Source, spoil: str, found: Differences) -> None:
    connection = alone.connection
    derived(alone.line(), [item(at) for at in range(5)])
    (model,) = working_models(connection)
    embed(connection, model)
    connection.execute(spoil.encode())
    assert reconcile(connection, size=2) == found
    assert_true(connection)


def test_without_repair_it_counts_and_writes_nothing(alone: Source) -> None:
    connection = alone.connection
    derived(alone.line(), [item(at) for at in range(5)])
    connection.execute("delete from core.embedding_requests where item_id % 2 = 0")
    connection.execute("update core.embedding_requests set content_hash = gen_random_uuid()")
    before = told(connection, "select r, r.ctid from core.embedding_requests r")
    assert reconcile(connection, repair=False) == Differences(missing=5 - len(before), changed=len(before))
    assert told(connection, "select r, r.ctid from core.embedding_requests r") == before
    reconcile(connection)
    assert_true(connection)


def test_a_request_that_a_touch_made_and_somebody_deleted_is_made_again(alone: Source) -> None:
    silent, speaking = alone.line(1, embed=False), alone.line(2)
    derived(silent, [item(1), item(2)])
    assert derived(speaking, [item(1, at=1)]).requests == 1
    alone.connection.execute("delete from core.embedding_requests")
    assert reconcile(alone.connection) == Differences(missing=1)
    assert set(requests(alone)) == {"1"}
    assert_true(alone.connection)


def test_a_request_follows_its_item_to_another_branch_and_keeps_what_is_done(alone: Source) -> None:
    one, other = alone.line(1), alone.line(2)
    derived(one, [item(1), item(2)])
    embed(alone.connection, working_models(alone.connection)[0])
    theirs = derived(other, [item(1, at=1)]).work.branch.branch_id
    assert reconcile(alone.connection) == Differences(), "the derivation took it along"
    ours = requests(alone)["2"]["branch_id"]
    alone.connection.execute("update core.embedding_requests set branch_id = %s", (ours,))
    assert reconcile(alone.connection) == Differences(moved=1)
    found = requests(alone)
    assert (found["1"]["branch_id"], found["2"]["branch_id"]) == (theirs, ours)
    assert {row["status"] for row in found.values()} == {"d"}
    assert_true(alone.connection)


def test_the_end_of_a_whole_repair_is_a_pulse_and_of_no_other(alone: Source) -> None:
    connection = alone.connection
    connection.execute("delete from ingest.pulses")
    reconcile(connection, repair=False)
    reconcile(connection, branch_id=derived(alone.line(), [item(1)]).work.branch.branch_id)
    assert pulses(connection) == {}
    reconcile(connection)
    assert list(pulses(connection)) == ["reconcile"]


def test_a_branch_alone_is_looked_at_where_one_is_named(alone: Source) -> None:
    one, other = alone.line(1), alone.line(2)
    derived(one, [item(1)])
    work = derived(other, [item(2)]).work
    alone.connection.execute("delete from core.embedding_requests")
    assert reconcile(alone.connection, branch_id=work.branch.branch_id) == Differences(missing=1)
    assert set(requests(alone)) == {"2"}


def test_ranges_hold_every_id_once(alone: Source) -> None:
    alone.line().ingest([item(at) for at in range(10)])
    alone.connection.execute("delete from core.items where item_id % 3 = 0")
    for size in (1, 3, 100):
        found = list(id_ranges(alone.connection, size))
        assert found[0][0] == -1
        assert [upto for _, upto in found[:-1]] == [after for after, _ in found[1:]]
        assert found[-1][1] == 2**63 - 1


def test_a_crash_between_ranges_loses_nothing(alone: Source, disarmed: None) -> None:
    derived(alone.line(), [item(at) for at in range(5)])
    alone.connection.execute("delete from core.embedding_requests")
    failpoints.arm("range_reconciled!")
    with pytest.raises(FailpointReached):
        reconcile(alone.connection, size=2)
    failpoints.arm("")
    assert len(requests(alone)) == 2
    assert reconcile(alone.connection, size=2) == Differences(missing=3)
    assert_true(alone.connection)


Step = tuple[str, Any]
_ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["One", "Two"]), st.integers(0, 3)), max_size=4)
_STEPS = st.one_of(
    st.tuples(st.just("ingest"), st.tuples(st.integers(0, 1), _ROWS)),
    st.tuples(st.just("apply"), st.tuples(st.integers(0, 1), _ROWS)),
    st.tuples(st.just("embed"), st.tuples(st.integers(0, 1), st.booleans())),
    st.tuples(st.sampled_from(["add", "retire", "activate", "work"]), st.sampled_from(["x", "y"])),
    st.tuples(st.sampled_from(["delete", "forget", "reconcile"]), st.sampled_from("abcd")),
)


@settings(max_examples=15)
@given(taken=st.lists(_STEPS, max_size=12))
def test_after_any_history_a_reconcile_makes_the_ledger_what_is_wanted(shared: Connection, taken: list[Step]) -> None:
    empty(shared)
    source = Source(shared)
    lines = [source.line(priority) for priority in range(2)]
    for name, value in taken:
        take(source, lines, name, value)
    reconcile(shared, size=2)
    assert_true(shared)


def take(source: Source, lines: list[Line], name: str, value: Any) -> None:
    """One step of a history; one that would be refused is none."""
    connection = source.connection
    if name in ("ingest", "apply"):
        rows: dict[str, Row] = {key: item(key, text, at=at) for key, text, at in value[1]}
        work, _ = lines[value[0]].apply(list(rows.values()))
        if name == "ingest":
            derive_requests(work)
    elif name == "embed":
        source.line(value[0], embed=value[1])
    elif name == "delete":
        connection.execute("update core.items set deleted_at = now() where external_id = %s", (value,))
    elif name == "forget":
        connection.execute("delete from core.item_embeddings where item_id %% 2 = %s", (ord(value) % 2,))
    elif name == "reconcile":
        reconcile(connection, size=1)
    elif name == "add":
        add_model(connection, declared(value))
    else:
        of_model(connection, name, value)


def of_model(connection: Connection, name: str, value: str) -> None:
    for model in [one for one in working_models(connection) if one.model == value]:
        if name == "work":
            embed(connection, model)
        elif name == "activate":
            activate_model(connection, model, force=True)
        elif model.state != "active":
            retire_model(connection, model, keep_vectors=value == "x")


ROWS = 100_000


@pytest.fixture(scope="module")
def large(server: str, template: str) -> Any:
    """A branch with so many items, all requested."""
    with _database(server, "large", template) as url, session(url) as opened:
        work = Source(opened).line().work(0)
        values = {"source_id": work.branch.source_id, "branch_id": work.branch.branch_id, "rows": ROWS}
        opened.execute(FILL, {**values, "activation_id": work.activation.activation_id})
        opened.execute("vacuum (analyze) core.items")
        assert reconcile(opened).missing == ROWS
        opened.execute("vacuum (analyze) core.embedding_requests")
        yield opened


def test_nothing_to_do_is_found_by_two_indexes_alone(large: Connection) -> None:
    values = {"model_id": 1, "repair": True, "branch_id": None, "unembedded": []}
    for after in (-1, ROWS // 2):
        plan = nodes(large, _SQL["reconcile_wanted"], {**values, "after": after, "upto": after + ROWS // 10})
        read = {node["Index Name"]: node["Node Type"] for node in plan if "Index Name" in node}
        assert read.pop("embedding_requests_pkey") == "Index Only Scan"
        assert set(read) == {"items_live"}


def test_a_range_reads_no_more_than_its_rows(large: Connection) -> None:
    values = {"model_id": 1, "after": 50_000, "upto": 51_000, "repair": True, "branch_id": None, "unembedded": []}
    for name in ("wanted", "unwanted", "moved", "lost", "found", "orphans"):
        plan = nodes(large, _SQL[f"reconcile_{name}"], values)
        whole = [n["Relation Name"] for n in plan if n["Node Type"].endswith("Seq Scan")]
        assert [name for name in whole if name in ("items", "embedding_requests")] == [], name
