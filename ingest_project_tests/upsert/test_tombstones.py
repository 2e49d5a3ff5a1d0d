"""Items that a branch no longer carries: deleted where it says so, behind a limit, exactly once, and brought back."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project import failpoints
from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.errors import ActivationClosed, Fenced, GateBlocked
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres import leases
from ingest_project.upsert import tombstones
from ingest_project.upsert.items import ApplyResult, apply_activation
from ingest_project.upsert.plan import plan_activation
from ingest_project_tests.embeddings.asking import requests
from ingest_project_tests.upsert.making import Line, Row, Source, item, parts_of

POINTS = ("tombstones_open", "tombstones_kept", "tombstones_written", "tombstones_committed")
ROWS = [item(at) for at in range(6)]


def line_of(source: Source, **given: Any) -> Line:
    return source.line(missing="tombstone", **given)


def live(source: Source) -> set[str]:
    return {key for key, row in source.items().items() if row["deleted_at"] is None}


def ops(source: Source, key: object) -> str:
    return "".join(row["op"] for row in source.versions(key))


def test_what_is_missing_is_deleted_with_its_old_image_and_counted(source: Source) -> None:
    line = line_of(source)
    line.ingest(ROWS)
    before = source.items()
    applied = line.ingest(ROWS[:4])
    assert (applied.missing, applied.tombstoned) == (2, 2)
    assert (applied.activation.missing, applied.activation.tombstoned) == (2, 2)
    assert live(source) == {"0", "1", "2", "3"}
    gone = source.items()["5"]
    assert (gone["version"], gone["activation_id"]) == (2, applied.activation.activation_id)
    assert (gone["name"], gone["source_updated_at"]) == (before["5"]["name"], before["5"]["source_updated_at"])
    (_, deleted) = source.versions(5)
    assert (deleted["op"], deleted["old"]["item_id"], deleted["old"]["deleted_at"]) == ("d", gone["item_id"], None)
    assert line.ingest(ROWS[:4]).tombstoned == 0, "once"


def test_a_branch_that_keeps_deletes_nothing(source: Source) -> None:
    line = source.line()
    line.ingest(ROWS)
    applied = line.ingest(ROWS[:1])
    assert (applied.missing, applied.tombstoned, len(live(source))) == (5, 0, 6)


@pytest.mark.parametrize("at", [5, 0, -5], ids=["newer", "as old", "older"])
def test_what_returns_is_revived_with_its_id_however_old(source: Source, at: int) -> None:
    line = line_of(source)
    line.ingest(ROWS)
    ids = {key: row["item_id"] for key, row in source.items().items()}
    line.ingest(ROWS[:5])
    applied = line.ingest([*ROWS[:5], item(5, "Back", at=at)])
    assert (applied.counts.updated, applied.counts.stale) == (1, 0)
    back = source.items()["5"]
    assert (back["item_id"], back["name"], back["deleted_at"]) == (ids["5"], "Back", None)
    assert ops(source, 5) == "idr"


def test_a_row_that_is_set_aside_is_not_missing(source: Source) -> None:
    line = line_of(source)
    line.ingest(ROWS)
    work = line.work(4)
    source.connection.execute(
        """insert into ingest.rejects (activation_id, part, "row", external_id, errors, raw)
           values (%s, 0, 5, '4', '[{"code": "name_missing"}]', '')""",
        (work.activation.activation_id,),
    )
    applied = apply_activation(work, parts_of(ROWS[:4]))
    assert (applied.missing, applied.tombstoned, live(source)) == (1, 1, {"0", "1", "2", "3", "4"})


def test_requests_follow(source: Source) -> None:
    line = line_of(source)
    derive_requests(line.apply(ROWS)[0])
    derived = derive_requests(line.apply(ROWS[:4])[0])
    assert (derived.made, derived.dropped, set(requests(source))) == (0, 2, {"0", "1", "2", "3"})
    derived = derive_requests(line.apply(ROWS)[0])
    assert (derived.made, derived.dropped, set(requests(source))) == (2, 0, {str(at) for at in range(6)})
    assert all(row["current"] for row in requests(source).values())


def test_vectors_follow(source: Source) -> None:
    line = line_of(source)
    derive_requests(line.apply(ROWS)[0])
    if source.rows("select to_regclass('core.item_embeddings') is null as without")[0]["without"]:
        pytest.skip("this server has no pgvector")
    source.connection.execute(
        """insert into core.item_embeddings (model_id, item_id, content_hash, embedding)
           select r.model_id, r.item_id, r.content_hash, array_fill(1, array[m.dims])::vector
             from core.embedding_requests r join core.embedding_models m using (model_id)
             join core.items i using (item_id) join ingest.sources s using (source_id) where s.name = %s""",
        (source.name,),
    )
    derive_requests(line.apply(ROWS[:4])[0])
    left = source.rows(
        """select i.external_id from core.item_embeddings e join core.items i using (item_id)
             join ingest.sources s using (source_id) where s.name = %(source)s order by 1"""
    )
    assert [row["external_id"] for row in left] == ["0", "1", "2", "3"]


def test_requests_of_what_a_failed_activation_deleted_follow_with_the_next(source: Source) -> None:
    line = line_of(source)
    derive_requests(line.apply(ROWS)[0])
    line.apply(ROWS[:4])
    source.connection.execute(
        """update ingest.activations set state = 'failed', committed_at = null, closed_at = now()
            where state = 'committed' and branch_id = (select branch_id from ingest.branches where name = %s)""",
        (line.name,),
    )
    assert derive_requests(line.apply(ROWS[:4])[0]).dropped == 2


# ── the limit ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_more_than_the_limit_is_refused_before_anything_is_written(source: Source) -> None:
    line = line_of(source, limits={"max_shrink_ratio": 0.4})
    line.ingest(ROWS)
    before = source.physical()
    work = line.work(4)
    rows = [item(0, "Changed", at=9), *ROWS[1:3], item("new")]
    assert "3 of 6 live items are missing" in plan_activation(work, parts_of(rows)).blocked_by["shrink_ratio"]
    with pytest.raises(GateBlocked, match=r"3 of 6 live items are missing .*: 50.0% with a limit of 40.0%"):
        apply_activation(work, parts_of(rows))
    assert source.physical() == before
    assert line.ingest(ROWS[:4]).tombstoned == 2, "a third passes"


def test_a_plan_says_what_would_be_deleted_and_deletes_nothing(source: Source) -> None:
    line = line_of(source)
    line.ingest(ROWS)
    before = source.physical()
    plan = plan_activation(line.work(2), parts_of(ROWS[:2]))
    assert (plan.missing, plan.tombstoned, plan.blocked_by) == (4, 4, {})
    assert source.physical() == before


def test_nothing_is_deleted_for_an_activation_that_was_not_let_through(source: Source) -> None:
    line = line_of(source)
    line.ingest(ROWS)
    for state, error in (("blocked", GateBlocked), ("planned", ActivationClosed)):
        work = line.work(0)
        source.connection.execute(
            "update ingest.activations set state = %s, plan_only = true where activation_id = %s",
            (state, work.activation.activation_id),
        )
        with pytest.raises(error):
            apply_activation(work, [])
    assert len(live(source)) == 6


# ── killed, and taken over ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", [f"{point}{nth}" for point in POINTS for nth in ("!", "!:2")])
def test_stopped_anywhere_it_goes_on_and_counts_the_same(
    source: Source, disarmed: None, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(tombstones, "_AT_ONCE", 2)
    line = line_of(source)
    line.ingest(ROWS)
    rows = [item(0, "Changed", at=1), ROWS[1]]
    work = line.work(len(rows))
    name, _, nth = point.partition("!")
    failpoints.arm(f"{name}!{nth}")
    with pytest.raises(FailpointReached):
        apply_activation(work, parts_of(rows, 1))
    failpoints.arm("")
    applied = apply_activation(work, parts_of(rows, 1))
    assert ended(applied) == (4, 4, 1, 1)
    assert live(source) == {"0", "1"}
    assert [ops(source, at) for at in range(6)] == ["iu", "i", "id", "id", "id", "id"]


def ended(applied: ApplyResult) -> tuple[Any, ...]:
    done = applied.activation
    return done.missing, done.tombstoned, done.updated, done.unchanged


def test_a_run_that_lost_its_branch_deletes_no_more(
    source: Source, disarmed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstones, "_AT_ONCE", 2)
    line = line_of(source)
    line.ingest(ROWS)
    work = line.work(0)

    def taken_over(name: str) -> None:
        if name == "tombstones_committed":
            branch = work.branch
            leases.acquire(
                source.connection, branch.branch_id, branch.name, holder="o", run_id="o", is_gone=lambda _: True
            )

    monkeypatch.setattr(failpoints, "reach", taken_over)
    with pytest.raises(Fenced):
        apply_activation(work, [])
    assert len(live(source)) == 4


# ── whole histories ────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["One", "Two"])), min_size=1, max_size=5))
def test_what_is_live_is_what_the_last_activation_carried(any_source: Source, states: list[dict[str, str]]) -> None:
    source = Source(any_source.connection)
    line = line_of(source)
    for state in states:
        rows: list[Row] = [item(key, name) for key, name in state.items()]
        work, _ = line.apply(rows)
        derive_requests(work)
        assert {key: row["name"] for key, row in source.items().items() if row["deleted_at"] is None} == state
        assert set(requests(source)) == set(state)
        assert all(row["current"] for row in requests(source).values())
    seen = {key for state in states for key in state}
    assert set(source.items()) == seen, "an item keeps its row, and its id, once it has one"


def test_repair_deletes_nothing(source: Source) -> None:
    line = line_of(source)
    line.ingest(ROWS)
    work, applied = line.apply(ROWS[:4])
    source.connection.execute(
        "update core.items set deleted_at = null where item_id = %s", (source.items()["5"]["item_id"],)
    )
    again = apply_activation(
        Work(work.connection, work.lease, work.branch, applied.activation), parts_of(ROWS[:4]), repair=True
    )
    assert (again.tombstoned, "5" in live(source)) == (0, True)
