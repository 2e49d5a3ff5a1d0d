"""The third stage: an activation into core.items, exactly once.

The whole activation is probed first. Then each part is one fenced transaction: lock the rows that are to change,
classify them again, and write rows, history and the part's batch row. A part that has a batch row is done.
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
from ingest_project.upsert.item_statements import analyze_history_statement, statement
from ingest_project.upsert.parallel import in_parallel
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.probe import Probe, probe
from ingest_project.upsert.saved_plan import claim_planned
from ingest_project.upsert.tombstones import tombstone_missing

ASSET = "core_items"
_UNCHANGED_AT_ONCE = 100  # parts without anything to write whose batch rows are written in one transaction
# How many rows a load must insert for core.items to be vacuumed after it. Later loads need more to make a difference:
# statistics are taken from a sample of all rows.
_VACUUM_AFTER_FIRST_LOAD = 10_000
_VACUUM_AFTER_LATER_LOAD = 100_000


@dataclass(frozen=True)
class ApplyResult:
    """What an attempt did; `counts` are those of this attempt, the activation has those of all attempts."""

    activation: Activation
    counts: Counts
    missing: int
    tombstoned: int
    batches_done_before: int
    seconds: dict[str, float] = field(default_factory=dict)


def apply_activation(
    work: Work, parts: Sequence[ValidPart], *, repair: bool = False, as_planned: bool = False
) -> ApplyResult:
    """Upsert all parts and commit the activation.

    `repair` takes a committed activation and writes again what has gone from core.items since; its counts stay.
    `as_planned` applies exactly what its saved plan says, or raises PlanMoved. Raises Fenced, GateBlocked,
    ActivationClosed; psycopg's errors where Postgres fails. No part is ever half written.
    """
    began = time.monotonic()
    done = set() if repair else _done_parts(work)
    probed = probe(work, parts, with_fingerprint=as_planned)
    if not repair and not done:
        pass_gates(work, probed, sum(part.valid for part in parts))
    if as_planned and not done:
        claim_planned(work, probed.live)
    failpoints.reach("probed")
    probe_seconds = time.monotonic() - began
    todo = [part for part in parts if part.number not in done]
    mode = _Mode(probed, repair=repair, as_planned=as_planned)
    counts = _apply_parts(work, todo, mode, rows_done=sum(part.valid for part in parts if part.number in done))
    failpoints.reach("all_batches")
    missing, tombstoned = (probed.missing.count, 0) if repair else tombstone_missing(work, probed.missing)
    activation = _commit(work, counts, missing=missing, tombstoned=tombstoned, repair=repair)
    failpoints.reach("activation_committed")
    if counts.inserted >= (_VACUUM_AFTER_FIRST_LOAD if probed.source_is_new else _VACUUM_AFTER_LATER_LOAD):
        _vacuum(work)
    seconds = {"probe": probe_seconds, "apply": time.monotonic() - began - probe_seconds}
    return ApplyResult(activation, counts, missing, tombstoned, len(done), seconds)


def _done_parts(work: Work) -> set[int]:
    values = {"activation_id": work.activation.activation_id}
    return {part for (part,) in work.connection.execute(statement("done_parts"), values).fetchall()}


@dataclass(frozen=True)
class _Mode:
    """How parts are to be written."""

    probed: Probe
    repair: bool
    as_planned: bool


def _apply_parts(work: Work, parts: Sequence[ValidPart], mode: _Mode, *, rows_done: int) -> Counts:
    counts = Counts()
    total = rows_done + sum(part.valid for part in parts)
    # Closed here, whatever happens: no writer may outlive this call.
    with closing(_write_parts(work, parts, mode)) as written:
        for part_counts in written:
            counts += part_counts
            report(Progress(ASSET, rows_done + counts.valid, total))
    return counts


def _write_parts(work: Work, parts: Sequence[ValidPart], mode: _Mode) -> Generator[Counts]:
    probed = mode.probed

    def write(work: Work, part: ValidPart) -> Counts:
        batch, hits = Batch(work, part, mode.repair, mode.as_planned), probed.hits_of(part)
        return batch.copy_in(hits) if probed.source_is_new or hits.are_many_and_new else batch.apply(hits)

    def has_hits(part: ValidPart) -> bool:
        return len(probed.hits_of(part).positions) > 0

    yield from in_parallel(work, [part for part in parts if has_hits(part)], write, settings().writers)
    unchanged = [part for part in parts if not has_hits(part)]
    for start in range(0, len(unchanged), _UNCHANGED_AT_ONCE):
        yield from _record_unchanged(work, unchanged[start : start + _UNCHANGED_AT_ONCE], probed, repair=mode.repair)


def _record_unchanged(work: Work, parts: list[ValidPart], probed: Probe, *, repair: bool) -> Iterator[Counts]:
    counts = [(part, planned_counts(part, probed.hits_of(part))) for part in parts]
    if not repair:
        with work.transaction() as connection:
            for part, part_counts in counts:
                if not is_done(connection, work, part.number, ACCEPTED):
                    Batch(work, part).record(connection, part_counts)
        failpoints.reach("batch_committed")
    for _, part_counts in counts:
        yield part_counts


def _commit(work: Work, counts: Counts, *, missing: int, tombstoned: int, repair: bool) -> Activation:
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
        work.connection.execute(analyze_history_statement(work.activation.activation_id))
    except psycopg.Error as error:
        log.warning("core.items was not vacuumed after a large load: %s", error)
