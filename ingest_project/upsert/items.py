"""The third stage: an activation into core.items, exactly once.

Probe the whole activation with one join; then, part by part, lock what is to change, judge it again on the locked
rows, and write rows, history and accounting in one fenced transaction. A part whose batch row is there is done.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import psycopg

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.activations import Activation
from ingest_project.branches.work import Work
from ingest_project.postgres.connection import is_idle
from ingest_project.settings import settings
from ingest_project.telemetry import Progress, log, report
from ingest_project.upsert.batch import ACCEPTED, Batch, is_done, planned_counts
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.gates import pass_gates
from ingest_project.upsert.item_statements import analyzing_history, statement
from ingest_project.upsert.parallel import in_parallel
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.probe import Probe, probe
from ingest_project.upsert.saved_plan import let_through
from ingest_project.upsert.tombstones import tombstone_missing

ASSET = "core_items"
_QUIET_PARTS = 100  # parts without anything to write that are accounted for in one transaction
_WORTH_A_VACUUM = 10_000  # rows of a first load
_MORE_WORTH_A_VACUUM = 100_000  # rows beside others: statistics are of a sample of all of them


@dataclass(frozen=True)
class Applied:
    """What an attempt did; `counts` are its own, the activation's are those of all attempts."""

    activation: Activation
    counts: Counts
    missing: int
    tombstoned: int
    batches_done_before: int
    seconds: dict[str, float] = field(default_factory=dict)


def apply_activation(
    work: Work, parts: Sequence[ValidPart], *, repair: bool = False, as_planned: bool = False
) -> Applied:
    """Upsert all parts and commit the activation.

    `repair` takes a committed activation and writes again what has gone from core.items since; its accounting stays.
    `as_planned` applies what its saved plan says, or raises PlanMoved. Raises Fenced, GateBlocked, ActivationClosed;
    psycopg's errors where Postgres fails, with nothing half done.
    """
    began = time.monotonic()
    done = set() if repair else _done(work)
    found = probe(work, parts, live=as_planned)
    if not repair and not done:
        pass_gates(work, found, sum(part.valid for part in parts))
    if as_planned and not done:
        let_through(work, found.live)
    failpoints.reach("probed")
    probed = time.monotonic()
    todo = [part for part in parts if part.number not in done]
    way = _Way(found, repair=repair, as_planned=as_planned)
    counts = _apply_parts(work, todo, way, before=sum(p.valid for p in parts if p.number in done))
    failpoints.reach("all_batches")
    missing, tombstoned = (found.missing.count, 0) if repair else tombstone_missing(work, found.missing)
    activation = _end(work, counts, missing=missing, tombstoned=tombstoned, repair=repair)
    failpoints.reach("activation_committed")
    if counts.inserted >= (_WORTH_A_VACUUM if found.source_is_new else _MORE_WORTH_A_VACUUM):
        _vacuum(work)
    seconds = {"probe": probed - began, "apply": time.monotonic() - probed}
    return Applied(activation, counts, missing, tombstoned, len(done), seconds)


def _done(work: Work) -> set[int]:
    values = {"activation_id": work.activation.activation_id}
    return {part for (part,) in work.connection.execute(statement("done_batches"), values).fetchall()}


@dataclass(frozen=True)
class _Way:
    """How parts are to be written."""

    found: Probe
    repair: bool
    as_planned: bool


def _apply_parts(work: Work, parts: Sequence[ValidPart], way: _Way, *, before: int) -> Counts:
    counts = Counts()
    total = before + sum(part.valid for part in parts)
    # Closed here, whatever happens: no writer may outlive this call.
    with closing(_each(work, parts, way)) as each:
        for done in each:
            counts += done
            report(Progress(ASSET, before + counts.valid, total))
    return counts


def _each(work: Work, parts: Sequence[ValidPart], way: _Way) -> Generator[Counts]:
    found = way.found

    def write(work: Work, part: ValidPart) -> Counts:
        batch, hits = Batch(work, part, way.repair, way.as_planned), found.of(part)
        return batch.copy_in(hits) if found.source_is_new or hits.are_many_and_new else batch.apply(hits)

    def is_busy(part: ValidPart) -> bool:
        return len(found.of(part).positions) > 0

    yield from in_parallel(work, [part for part in parts if is_busy(part)], write, settings().writers)
    quiet = [part for part in parts if not is_busy(part)]
    for start in range(0, len(quiet), _QUIET_PARTS):
        yield from _account_for_quiet(work, quiet[start : start + _QUIET_PARTS], found, repair=way.repair)


def _account_for_quiet(work: Work, parts: list[ValidPart], found: Probe, *, repair: bool) -> Iterator[Counts]:
    counts = [(part, planned_counts(part, found.of(part))) for part in parts]
    if not repair:
        with work.transaction() as connection:
            for part, counted in counts:
                if not is_done(connection, work, part.number, ACCEPTED):
                    Batch(work, part).account(connection, counted)
        failpoints.reach("batch_committed")
    for _, counted in counts:
        yield counted


def _end(work: Work, counts: Counts, *, missing: int, tombstoned: int, repair: bool) -> Activation:
    with work.transaction() as connection:
        if not repair:
            return activations.commit(connection, work.activation, missing=missing, tombstoned=tombstoned)
        if counts.changed:
            activations.reopen_repaired(connection, work.activation)
        return activations.get(connection, work.branch.branch_id, work.activation.activation_id)


def _vacuum(work: Work) -> None:
    if not is_idle(work.connection):
        return
    try:
        work.connection.execute(statement("vacuum_items"))
        work.connection.execute(analyzing_history(work.activation.activation_id))
    except psycopg.Error as error:
        log.warning("core.items was not vacuumed after a large load: %s", error)
