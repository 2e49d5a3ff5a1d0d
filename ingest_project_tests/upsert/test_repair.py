"""Repair: a committed activation written again where core.items has lost what it wrote; its accounting stands."""

from typing import Any

import pytest

from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import count_unrequested, derive_requests
from ingest_project.errors import ActivationClosed, Fenced, GateBlocked
from ingest_project.postgres import leases
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.items import apply_activation
from ingest_project_tests.upsert.making import Line, Source, item, parts_of

ROWS = [item(at, phone="+4930123456") for at in range(7)]
TOLD = ("valid", "inserted", "updated", "touched", "unchanged", "stale", "missing", "committed_at")


def done(line: Line) -> Work:
    """Ingest the rows to the end, requests and all."""
    work, _ = line.apply(ROWS, 3)
    return derive_requests(work).work


def said(source: Source) -> dict[str, tuple[Any, ...]]:
    names = ("name", "phone", "content_hash", "source_updated_at", "deleted_at", "branch_id", "activation_id")
    return {key: tuple(row[name] for name in names) for key, row in source.items().items()}


def by_hand(source: Source, statement: str) -> None:
    source.connection.execute(statement, {"source": source.name})


OURS = "source_id = (select source_id from ingest.sources where name = %(source)s)"
DAMAGE = {
    "some rows deleted": (f"delete from core.items where external_id in ('1', '5') and {OURS}", Counts(7, 2, 0, 0, 5)),
    "all rows deleted": (f"delete from core.items where {OURS}", Counts(7, 7)),
    "rows overwritten": (
        f"""update core.items set name = 'by hand', content_hash = gen_random_uuid()
             where external_id < '2' and {OURS}""",
        Counts(7, 0, 2, 0, 5),
    ),
    "rows marked deleted": (
        f"update core.items set deleted_at = now() where external_id = '3' and {OURS}",
        Counts(7, 0, 1, 0, 6),
    ),
    "rows made older": (
        f"update core.items set source_updated_at = null where external_id = '3' and {OURS}",
        Counts(7, 0, 0, 1, 6),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_went_by_hand_comes_back_and_the_accounting_stays(source: Source, damage: str) -> None:
    work = done(source.line())
    before, batches = said(source), source.batches()
    statement, expected = DAMAGE[damage]
    by_hand(source, statement)
    assert said(source) != before
    applied = apply_activation(work, parts_of(ROWS, 3), repair=True)
    assert applied.counts == expected
    assert said(source) == before
    assert source.batches() == batches
    assert [getattr(applied.activation, name) for name in TOLD] == [getattr(work.activation, name) for name in TOLD]
    assert (work.activation.state, applied.activation.state) == ("done", "committed")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_repaired_activation_gets_its_requests_again(source: Source, damage: str) -> None:
    work = done(source.line())
    by_hand(source, DAMAGE[damage][0])
    work = work.on(apply_activation(work, parts_of(ROWS, 3), repair=True).activation)
    work = derive_requests(work).work
    assert (work.activation.state, count_unrequested(work)) == ("done", 0)
    lacking = source.rows(
        """select i.external_id from core.items i join ingest.sources s using (source_id)
             left join core.embedding_requests r on r.item_id = i.item_id and r.content_hash = i.embed_hash
            where s.name = %(source)s and i.deleted_at is null and r.item_id is null"""
    )
    assert lacking == []


def test_a_repair_of_nothing_writes_nothing_and_leaves_the_activation_done(source: Source) -> None:
    work = done(source.line())
    before = source.physical(), source.history(), source.batches()
    applied = apply_activation(work, parts_of(ROWS, 3), repair=True)
    assert (applied.counts, applied.activation) == (Counts(valid=7, unchanged=7), work.activation)
    assert (source.physical(), source.history(), source.batches()) == before


def test_a_repair_does_not_take_back_what_came_later(source: Source) -> None:
    low, high = source.line(1), source.line(2)
    work = done(low)
    high.ingest([item(1, "theirs", at=0), item(2, "theirs", at=1)])
    by_hand(source, f"delete from core.items where external_id = '0' and {OURS}")
    lease = leases.acquire(source.connection, work.branch.branch_id, low.name, holder="run", run_id="run")
    repaired = apply_activation(
        Work(source.connection, lease, work.branch, work.activation), parts_of(ROWS, 3), repair=True
    )
    assert repaired.counts == Counts(valid=7, inserted=1, unchanged=4, stale=2)
    names = {key: row["name"] for key, row in source.items().items()}
    assert (names["0"], names["1"], names["2"]) == ("Item 0", "theirs", "theirs")


def test_a_repaired_row_has_its_history(source: Source) -> None:
    work = done(source.line())
    by_hand(
        source,
        f"update core.items set name = 'by hand', content_hash = gen_random_uuid() where external_id = '4' and {OURS}",
    )
    apply_activation(work, parts_of(ROWS, 3), repair=True)
    last = source.versions(4)[-1]
    assert (last["op"], last["version"], last["old"]["name"]) == ("u", 2, "by hand")
    assert last["written_by_activation"] == work.activation.activation_id


@pytest.mark.parametrize(
    ("state", "error"), [("accepted", ActivationClosed), ("blocked", GateBlocked), ("failed", ActivationClosed)]
)
def test_only_a_committed_activation_is_repaired(source: Source, state: str, error: type[Exception]) -> None:
    line = source.line()
    line.ingest([item("other")])
    with pytest.raises(error):
        apply_activation(line.work(len(ROWS), state=state), parts_of(ROWS), repair=True)
    assert set(source.items()) == {"other"}


def test_a_repair_is_fenced(source: Source) -> None:
    work = done(source.line())
    by_hand(source, f"delete from core.items where {OURS}")
    branch = work.branch
    leases.acquire(source.connection, branch.branch_id, branch.name, holder="thief", run_id="x", is_gone=lambda _: True)
    with pytest.raises(Fenced):
        apply_activation(work, parts_of(ROWS), repair=True)
    assert source.items() == {}


def test_a_repair_beside_an_open_activation_leaves_the_repaired_one_done(source: Source) -> None:
    line = source.line()
    work = done(line)
    line.work(1)  # the next one is under way: only one activation of a branch is open
    by_hand(source, f"delete from core.items where external_id = '0' and {OURS}")
    applied = apply_activation(work, parts_of(ROWS), repair=True)
    assert (applied.counts.inserted, applied.activation.state) == (1, "done")
    again = derive_requests(work.on(applied.activation)).work
    assert (activations.get(source.connection, work.branch.branch_id, work.activation.activation_id).state) == "done"
    assert count_unrequested(again) == 0
