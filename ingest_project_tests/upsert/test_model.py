"""Promises 1, 3, 5 and 6 at once: branches of a source under any course of events, beside a model of what must be.

Activations, cut off at any point and gone on with, given up half applied, rolled back; touches, nulls, equal ranks,
tombstones. A test like this passes with known-bad protocols where nothing is cut at the wrong moment: so the naive
orders run through the same machine, and it must catch each of them.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.errors import RollbackRefused
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection
from ingest_project.upsert import rollback
from ingest_project.upsert.batch import Batch, fill_stage, planned_counts, sorted_rows
from ingest_project.upsert.items import apply_activation
from ingest_project.upsert.probe import Hits, Probe, probe
from ingest_project_tests.embeddings.asking import requests
from ingest_project_tests.upsert.making import START, Line, Part, Source, item, parts_of, table_of
from ingest_project_tests.upsert.model import Carried, Model, Ours
from ingest_project_tests.upsert.undoing import branch_of

KEYS, NAMES, PHONES, DAYS = ("a", "b", "c", "d"), ("One", "Two"), (None, "+4930123456"), (None, 0, 1)
Ingest = Callable[[Work, Sequence[Part]], None]


def by_protocol(work: Work, parts: Sequence[Part]) -> None:
    """As a run does it, from wherever the last one was cut."""
    if work.activation.committed_at is None:
        work = work.on(apply_activation(work, parts).activation)
    derive_requests(work)


@st.composite
def carried(draw: st.DrawFn) -> list[Carried]:
    """Few keys, contents and times, so that ties, touches and returns are common."""
    keys = draw(st.sets(st.sampled_from(KEYS), min_size=1))
    one = st.tuples(st.sampled_from(NAMES), st.sampled_from(PHONES), st.sampled_from(DAYS))
    return [Carried(key, *draw(one)) for key in sorted(keys)]


CUTS = st.one_of(st.none(), st.integers(1, 16))
BRANCHES = st.integers(0, 2)


@contextmanager
def cut(at: int | None) -> Generator[None]:
    """End what runs when it reaches its so-manieth failpoint, as an exception would."""
    reached = 0

    def reach(_: str) -> None:
        nonlocal reached
        reached += 1
        if reached == at:
            raise FailpointReached

    with pytest.MonkeyPatch.context() as patch, suppress(FailpointReached):
        patch.setattr(failpoints, "reach", reach)
        yield


@dataclass
class Open:
    """An activation under way: what it carries, and which of its parts the model has seen."""

    work: Work
    ours: Ours
    rows: list[Carried]
    size: int
    seen: set[int] = field(default_factory=set)
    tombstoned: bool = False

    @property
    def parts(self) -> list[Part]:
        rows = [item(one.key, one.name, one.day, phone=one.phone) for one in self.rows]
        return parts_of(rows, self.size)


class Branches(RuleBasedStateMachine):
    """Branches of one source, a session, and the model beside them."""

    connection: Connection
    ingest: Ingest = staticmethod(by_protocol)
    may_tombstone = True

    @initialize(tombstones=st.booleans())
    def register(self, tombstones: bool) -> None:
        """Tombstones are for the only branch of a source."""
        tombstones = tombstones and self.may_tombstone
        self.source, self.model, self.tombstones = Source(self.connection), Model(), tombstones
        spec = {"missing": "tombstone"} if tombstones else {}
        self.lines: list[Line] = [self.source.line(priority, **spec) for priority in range(1 if tombstones else 3)]
        self.open: dict[int, Open] = {}
        self.ended: list[tuple[int, int]] = []  # (branch, activation) that a rollback may undo

    @rule(branch=BRANCHES, rows=carried(), size=st.integers(1, 3), at=CUTS)
    def activate(self, branch: int, rows: list[Carried], size: int, at: int | None) -> None:
        """The next state of a branch; one that is not committed is given up half applied."""
        branch %= len(self.lines)
        if branch in self.open and self._state(self.open[branch]) == "committed":
            self._go_on(branch, None)
        work = self.lines[branch].work(len(rows))
        ours = Ours(branch, branch, work.activation.activation_id, self.tombstones)
        self.open[branch] = Open(work, ours, rows, size)
        self._go_on(branch, at)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), at=CUTS)
    def resume(self, data: st.DataObject, at: int | None) -> None:
        """Go on with an activation that was cut off, and perhaps be cut off again."""
        self._go_on(data.draw(st.sampled_from(sorted(self.open))), at)

    @precondition(lambda self: self.ended and not self.open)
    @rule(data=st.data(), cuts=st.lists(st.integers(1, 5), max_size=2))
    def undo(self, data: st.DataObject, cuts: list[int]) -> None:
        """Roll one back; that it is cut off on its way changes nothing of what it comes to."""
        branch, target = data.draw(st.sampled_from(self.ended))
        may = self.model.touched_only_by(target)
        for at in (*cuts, None):
            try:
                with cut(at):
                    self._roll_back(branch, target)
            except RollbackRefused:
                assert not may, "nobody else has changed these items"
                break
            found = activations.rollback_of(self.connection, target)
            if found and found.state == "done":
                self.ended.remove((branch, target))
                self.model.undo(target, Ours(branch, branch, found.activation_id, self.tombstones))
                self.model.derive(branch)
                break
        self.check()

    def _roll_back(self, number: int, target: int) -> None:
        branch = branch_of(self.lines[number])
        lease = leases.acquire(self.connection, branch.branch_id, branch.name, holder="run", run_id="run")
        derive_requests(rollback.undo_all(rollback.begin(self.connection, lease, branch, target)))

    def _go_on(self, branch: int, at: int | None) -> None:
        under_way = self.open[branch]
        found = activations.get(self.connection, under_way.work.branch.branch_id, under_way.ours.activation)
        under_way.work = under_way.work.on(found)
        with cut(at):
            type(self).ingest(under_way.work, under_way.parts)
        self._follow(branch, under_way)
        self.check()

    def _follow(self, branch: int, under_way: Open) -> None:
        # The model does what is accounted for: it says nothing of where a run stops, and all of what must be by then.
        for batch in self.source.batches():
            if batch["activation_id"] == under_way.ours.activation and batch["part"] not in under_way.seen:
                at = batch["part"] * under_way.size
                self.model.apply(under_way.ours, under_way.rows[at : at + under_way.size])
                under_way.seen.add(batch["part"])
        state = self._state(under_way)
        is_told = any(row["op"] == "d" for row in self._written(under_way)) or state in ("committed", "done")
        if self.tombstones and is_told and not under_way.tombstoned:
            self.model.tombstone(under_way.ours, {row.key for row in under_way.rows})
            under_way.tombstoned = True
        if state == "done":
            self.model.derive(branch)
            self.ended.append((branch, under_way.ours.activation))
            del self.open[branch]

    def _written(self, under_way: Open) -> list[dict[str, Any]]:
        activation = under_way.ours.activation
        return [row for row in self.source.history() if row["written_by_activation"] == activation]

    def _state(self, under_way: Open) -> str:
        branch_id = under_way.work.branch.branch_id
        return activations.get(self.connection, branch_id, under_way.ours.activation).state

    def check(self) -> None:
        """Items, their history and their requests are what the model says."""
        assert items_of(self.source) == {
            key: (*one.image.content, one.image.day, one.image.priority, one.image.deleted, len(one.versions))
            for key, one in self.model.items.items()
        }
        assert history_of(self.source) == {
            key: [(one.op, one.old.content if one.old else None) for one in item.versions]
            for key, item in self.model.items.items()
        }
        asked = {key: row["content_hash"] for key, row in requests(self.source).items()}
        assert asked == {key: EMBEDDED[name] for key, name in self.model.requests.items()}

    def teardown(self) -> None:
        """Whatever was cut off gets to its end, and then nothing is owed."""
        if hasattr(self, "lines"):
            for branch in sorted(self.open):
                self._go_on(branch, None)
            assert (self.open, self.model.due) == ({}, {})


def _embedded() -> dict[str, Any]:
    table = table_of([item("any", name) for name in NAMES])
    return {name: UUID(value) for name, value in zip(NAMES, table["embed_hash"].to_pylist(), strict=True)}


EMBEDDED = _embedded()


def items_of(source: Source) -> dict[str, tuple[Any, ...]]:
    """As the model says it."""

    def days(row: dict[str, Any]) -> int | None:
        return None if row["source_updated_at"] is None else (row["source_updated_at"] - START).days

    return {
        key: (row["name"], row["phone"], days(row), row["priority"], row["deleted_at"] is not None, row["version"])
        for key, row in source.items().items()
    }


def history_of(source: Source) -> dict[str, list[tuple[str, Any]]]:
    """Op and old content, by key, oldest first."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for row in source.history():
        old = (row["old"]["name"], row["old"]["phone"]) if row["old"] else None
        found.setdefault(row["external_id"], []).append((row["op"], old))
    return found


# ── the naive orders ────────────────────────────────────────────────────────────────────────────────────────────

_SEND = """
insert into core.embedding_requests as r (model_id, item_id, branch_id, content_hash)
select m.model_id, i.item_id, i.branch_id, i.embed_hash
  from core.items i cross join core.embedding_models m
 where i.source_id = %s and i.external_id = any(%s) and i.deleted_at is null and m.state = 'active'
on conflict (model_id, item_id) do update set content_hash = excluded.content_hash"""


@dataclass
class Naive:
    """A part written in steps, each a transaction of its own; requests are sent for what the probe found."""

    work: Work
    part: Part
    found: Probe

    @property
    def hits(self) -> Hits:
        return self.found.hits_of(self.part)

    def data(self, *, accounted: bool = False) -> None:
        rows = sorted_rows(self.part.load().take(pa.array(self.hits.positions)))
        batch = Batch(self.work, self.part)
        with self.work.transaction() as connection:
            fill_stage(connection, rows)
            batch._write_staged(connection)
            if accounted:
                batch.record(connection, planned_counts(self.part, self.hits))

    def checkpoint(self) -> None:
        with self.work.transaction() as connection:
            Batch(self.work, self.part).record(connection, planned_counts(self.part, self.hits))

    def enqueue(self) -> None:
        keys = self.part.load().take(pa.array(self.hits.positions))["external_id"].to_pylist()
        self.work.connection.execute(_SEND, (self.work.branch.source_id, keys))

    def both(self) -> None:
        self.data(accounted=True)


def in_order(*steps: str) -> Ingest:
    """An ingest that takes these steps part by part, and skips parts that have their checkpoint."""

    def ingest(work: Work, parts: Sequence[Part]) -> None:
        if work.activation.committed_at is None:
            done = {part for (part,) in work.connection.execute(_DONE, (work.activation.activation_id,)).fetchall()}
            for part in parts:
                if part.number not in done:
                    naive = Naive(work, part, probe(work, [part]))
                    for step in steps:
                        getattr(naive, step)()
                        failpoints.reach(step)
            with work.transaction() as connection:
                work = work.on(activations.commit(connection, work.activation, missing=0))
        activations.finish(work.connection, work.activation, requests=0)

    return ingest


_DONE = "select part from ingest.batches where activation_id = %s"
ORDERS = (
    ("checkpoint", "data", "enqueue"),
    ("data", "checkpoint", "enqueue"),
    ("data", "enqueue", "checkpoint"),
    ("both", "enqueue"),
)


def machine_of(source: Source, ingest_by: Ingest) -> type[Branches]:
    class Machine(Branches):
        connection = source.connection
        ingest = staticmethod(ingest_by)
        may_tombstone = ingest_by is by_protocol  # the mutants never do

    return Machine


def run(source: Source, ingest_by: Ingest = by_protocol, **how: Any) -> None:
    """Courses of events until one goes wrong, or none has."""
    chosen = settings(deadline=None, suppress_health_check=list(HealthCheck), **how)
    run_state_machine_as_test(machine_of(source, ingest_by), settings=chosen)


def test_any_course_of_events_leaves_what_the_model_says(any_source: Source) -> None:
    run(any_source, max_examples=12, stateful_step_count=12, phases=[Phase.reuse, Phase.generate])


@pytest.mark.long
def test_a_thousand_courses_of_events_leave_what_the_model_says(any_source: Source) -> None:
    run(any_source, max_examples=1_000, stateful_step_count=30)


@pytest.mark.parametrize("order", ORDERS, ids=", then ".join)
def test_a_naive_order_is_caught(any_source: Source, order: tuple[str, ...]) -> None:
    how = {"max_examples": 200, "stateful_step_count": 12, "phases": [Phase.generate], "derandomize": True}
    with pytest.raises(AssertionError):
        run(any_source, in_order(*order), database=None, **how)


def test_a_naive_order_that_nothing_cuts_off_is_right(any_source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is caught is the order, and no mistake of the mutants'."""
    monkeypatch.setattr(f"{__name__}.cut", lambda _: nullcontext())
    run(any_source, in_order("data", "checkpoint", "enqueue"), max_examples=8, stateful_step_count=8)
