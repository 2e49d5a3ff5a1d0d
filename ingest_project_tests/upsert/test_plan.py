"""A plan says what the apply then does, and does nothing."""

from dataclasses import asdict
from json import dumps, loads
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.branches import activations
from ingest_project.upsert.items import apply_activation
from ingest_project.upsert.plan import PER_COLUMN, Plan, plan_activation
from ingest_project_tests.upsert.making import Line, Row, Source, day, item, parts_of

CLASSES = ("inserted", "updated", "touched", "unchanged", "stale")


def plan_of(line: Line, rows: list[Row], size: int | None = None) -> Plan:
    """The plan of a next activation."""
    return plan_activation(line.work(len(rows)), parts_of(rows, size))


LIVE = [item(key, at=5) for key in ("same", "changing", "touching", "ageing", "gone")]
NEXT = [
    item("same", at=5),
    item("changing", "Changed", at=6, phone="+4930123456"),
    item("touching", at=6, issues='[{"code": "new"}]'),
    item("ageing", "Older", at=4),
    item("new"),
]


def test_the_plan_counts_every_class_and_what_is_missing(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    plan = plan_of(line, NEXT, size=2)
    assert [getattr(plan, name) for name in (*CLASSES, "missing")] == [1, 1, 1, 1, 1, 1]


def test_columns_and_samples_are_those_of_updated_rows_only(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    plan = plan_of(line, NEXT)
    assert plan.by_column == {"name": 1, "phone": 1}
    assert plan.samples == [
        {"external_id": "changing", "field": "name", "old": "Item changing", "new": "Changed"},
        {"external_id": "changing", "field": "phone", "old": None, "new": "+4930123456"},
        {"external_id": "changing", "field": "source_updated_at", "old": _json(5), "new": _json(6)},
    ]


def _json(at: int) -> str:
    moment = day(at)
    assert moment is not None
    return moment.isoformat()


def test_many_touched_rows_do_not_crowd_the_one_update_out_of_the_samples(source: Source) -> None:
    line = source.line()
    keys = [f"a{at:03}" for at in range(60)]
    line.ingest([item(key) for key in [*keys, "z"]])
    plan = plan_of(line, [*(item(key, at=1) for key in keys), item("z", "Changed", at=1)], size=10)
    assert (plan.touched, plan.updated, plan.by_column) == (60, 1, {"name": 1})
    assert {sample["external_id"] for sample in plan.samples} == {"z"}


def test_samples_are_few_however_many_rows_change(source: Source) -> None:
    line = source.line()
    line.ingest([item(at) for at in range(100)])
    plan = plan_of(line, [item(at, "Changed", attributes='{"a": 1}') for at in range(100)], size=30)
    assert plan.by_column == {"name": 100, "attributes": 100}
    assert [sample["field"] for sample in plan.samples] == ["name"] * PER_COLUMN + ["attributes.a"] * PER_COLUMN


def test_a_column_that_changes_seldom_has_its_samples_too(source: Source) -> None:
    line = source.line()
    keys = [f"k{at:03}" for at in range(200)]
    line.ingest([item(key) for key in keys])
    rare = {"k150": {"phone": "+4930123456"}, "k170": {"phone": "+4930123457"}, "k199": {"locality": "Kiel"}}
    plan = plan_of(line, [item(key, "Changed", **rare.get(key, {})) for key in keys], size=64)
    assert plan.by_column == {"name": 200, "phone": 2, "locality": 1}
    told = [(sample["field"], sample["external_id"]) for sample in plan.samples]
    assert told[PER_COLUMN:] == [("phone", "k150"), ("phone", "k170"), ("locality", "k199")]
    assert [field for field, _ in told[:PER_COLUMN]] == ["name"] * PER_COLUMN


def test_a_revived_item_counts_as_updated_with_what_it_says_anew(source: Source) -> None:
    line = source.line()
    line.ingest([item("k", "Old")])
    mark = "update core.items set deleted_at = now() where item_id = %s"
    source.connection.execute(mark, (source.items()["k"]["item_id"],))
    plan = plan_of(line, [item("k", "New", at=1)])
    assert (plan.updated, plan.by_column) == (1, {"name": 1})
    assert plan.samples[0] == {"external_id": "k", "field": "name", "old": "Old", "new": "New"}


def test_the_plan_of_a_new_source_is_all_inserts(source: Source) -> None:
    assert plan_of(source.line(), LIVE, size=2) == Plan(len(LIVE), 0, 0, 0, 0, 0)


def test_a_plan_is_json(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    plan = plan_of(line, NEXT)
    assert loads(dumps(plan.to_json())) == asdict(plan)


def test_a_plan_writes_nothing_and_leaves_no_table(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = line.work(len(NEXT))
    before = source.physical(), source.history(), source.batches(), work.activation
    plan_activation(work, parts_of(NEXT, 2))
    plan_activation(work, parts_of(NEXT, 2))
    now = activations.get(line.connection, work.branch.branch_id, work.activation.activation_id)
    assert (source.physical(), source.history(), source.batches(), now) == before
    temporary = "select count(*) from pg_class where relnamespace = pg_my_temp_schema() and relkind = 'r'"
    assert line.connection.execute(temporary).fetchone() == (0,)


@st.composite
def states(draw: st.DrawFn) -> list[Row]:
    """One state of a branch."""
    names, times = st.sampled_from(("One", "Two")), st.sampled_from((None, 0, 1))
    keys = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    return [item(key, draw(names), at=draw(times)) for key in keys]


@settings(max_examples=15)
@given(
    before=states(), other=states(), deleted=st.sets(st.sampled_from("abcdef")), after=states(), size=st.integers(1, 4)
)
def test_what_is_planned_is_what_is_done(
    any_source: Source, before: list[Row], other: list[Row], deleted: set[str], after: list[Row], size: int
) -> None:
    source = Source(any_source.connection)
    low, high = source.line(1), source.line(2)
    low.ingest(before)
    high.ingest(other)
    values: dict[str, Any] = {"keys": list(deleted), "source": source.name}
    source.connection.execute(
        """update core.items set deleted_at = now() where external_id = any(%(keys)s)
            and source_id = (select source_id from ingest.sources where name = %(source)s)""",
        values,
    )
    work = low.work(len(after))
    plan = plan_activation(work, parts_of(after, size))
    applied = apply_activation(work, parts_of(after, size))
    assert {name: getattr(plan, name) for name in CLASSES} == {name: getattr(applied.counts, name) for name in CLASSES}
    assert plan.missing == applied.missing == applied.activation.missing
