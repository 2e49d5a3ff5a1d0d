"""The first stage: reads a branch's data, as it is now, once, into numbered parts.

Killed at any instant, it goes on after the last part that the manifest lists.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from ingest_project import failpoints
from ingest_project.branches import activations, gates
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.branches.spec import BranchSpec
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationClosed, GateBlocked, PartDamaged, Refused, SourceMoved
from ingest_project.extract import drift, preflight
from ingest_project.extract.gates import contract, freshness
from ingest_project.extract.kinds import open_source
from ingest_project.extract.manifest import ListedPart, discard_parts, list_part, listed_parts, part_key
from ingest_project.extract.source import Cursor, Page, Pin, ReadMetrics, Source, measured
from ingest_project.extract.store import PartStore, StoredPart
from ingest_project.extract.unchanged import can_reuse, pin_with_reader, seal_if_unchanged
from ingest_project.postgres.connection import Connection
from ingest_project.postgres.leases import Lease, fenced
from ingest_project.telemetry import Progress, log, report
from ingest_project.threads import threads

ASSET = "branch_snapshot"


@dataclass(frozen=True)
class Snapshot:
    """What the stage did: the work with its activation moved on, and what reading took in this attempt."""

    work: Work
    metrics: ReadMetrics = field(default_factory=ReadMetrics)

    @property
    def lag_seconds(self) -> float | None:
        """From the writing of the source to its reading, where its store says when it was written."""
        activation = self.work.activation
        written_at = Pin.from_json(activation.pin).written_at if activation.pin else None
        read_at = activation.snapshotted_at or datetime.now(UTC)
        return (read_at - written_at).total_seconds() if written_at else None


def begin(connection: Connection, lease: Lease, branch: Branch, *, activation_id: int | None, plan_only: bool) -> Work:
    """Claim the activation that this run works on: the one asked for, the open one, or a new one.

    An open one whose source or spec has changed since it was pinned is superseded, as long as nothing of it is in
    core. Raises ActivationUnknown, ActivationClosed.
    """
    # Compared before the transaction: a source may be far away, and a take-over waits for our transactions to end.
    compared = None if activation_id else activations.find_open(connection, branch.branch_id)
    changed = moved_since(branch, compared) if compared else None
    with fenced(connection, lease):
        activation = (
            _get_open(connection, branch, activation_id)
            if activation_id
            else activations.find_open(connection, branch.branch_id)
        )
        is_compared = activation and compared and activation.activation_id == compared.activation_id
        if activation and changed and is_compared:
            activation = _supersede(connection, activation, changed)
        activation = (
            activations.claim(connection, activation, holder=lease.holder, plan_only=plan_only)
            if activation
            else activations.create(connection, branch.branch_id, holder=lease.holder, plan_only=plan_only)
        )
    failpoints.reach("activation_claimed")
    return Work(connection, lease, branch, activation)


def _get_open(connection: Connection, branch: Branch, activation_id: int) -> Activation:
    activation = activations.get(connection, branch.branch_id, activation_id)
    gates.refuse_blocked(connection, branch.name, activation)
    if not activation.is_open:
        raise ActivationClosed(
            f"activation {activation_id} is {activation.state} and is not ingested again",
            where={"branch": branch.name, "activation": activation_id},
            todo=f"`ingest run {branch.name}` ingests the branch as it is now, as a new activation.",
        )
    return activation


def _supersede(connection: Connection, activation: Activation, changed: SourceMoved) -> Activation | None:
    """Close an activation whose source has changed; give it back where it has to be finished as it was read."""
    why_kept = _why_kept(connection, activation)
    if why_kept:
        message = "activation %d is %s and is finished as it was read: %s"
        log.warning(message, activation.activation_id, why_kept, changed.what)
        return activation
    log.info("activation %d is superseded: %s", activation.activation_id, changed.what)
    activations.close(connection, activation, "superseded", changed)
    return None


def _why_kept(connection: Connection, activation: Activation) -> str | None:
    # What is in core is finished, and so is the very state of the data that a person has accepted, if it was read.
    if activation.committed_at or activations.has_batches(connection, activation):
        return "half applied"
    if activation.snapshotted_at is None:
        return None
    measured_gates = gates.gates_of(connection, activation.activation_id)
    return "accepted by a person" if any(gate.accepted_at for gate in measured_gates) else None


def moved_since(branch: Branch, activation: Activation) -> SourceMoved | None:
    """What has changed since an activation was pinned: the branch file, or the source; None where nothing has."""
    if activation.pin is None:
        return None
    spec = activation.pinned_spec()
    if spec.digest() != branch.spec_digest:
        return SourceMoved("the branch file was changed since this activation was pinned")
    if activation.kind == "replay":
        return None  # what it reads again does not move
    try:
        changes = open_source(spec).moved(Pin.from_json(activation.pin))
    except Refused:
        return None  # there is nothing newer to take, and what is already read is still good
    return SourceMoved(f"the source changed since it was pinned: {'; '.join(changes)}") if changes else None


def take_snapshot(work: Work, store: PartStore, *, batch_size: int, metrics: ReadMetrics | None = None) -> Snapshot:
    """Read the source into parts of `batch_size` rows, each listed in a fenced transaction.

    `metrics` is filled meanwhile, so that it also says what a failed reading took. Raises GateBlocked, and the other
    Refused errors after closing the activation with the reason.
    """
    if work.activation.snapshotted_at:
        return Snapshot(work)
    try:
        source, pin, work = _open_pinned(work)
        snapshot = Snapshot(work, metrics or ReadMetrics())
        with closing(source):
            gates.pass_or_block(work, freshness(work, pin))
            sealed = _reuse_last_parts(snapshot, store, source, pin, batch_size)
            if sealed is None:
                _read(snapshot, store, source, pin, batch_size)
                sealed = source.seal(pin)
    except GateBlocked:
        raise
    except SourceMoved as error:
        _close(work, "failed", error)
        raise
    except Refused as error:
        _close(work, "refused", error)
        raise
    parts = listed_parts(work.connection, work.activation.activation_id, ASSET)
    with work.transaction() as connection:
        rows = sum(part.rows for part in parts)
        ended = activations.end_snapshot(connection, work.activation, pin_with_reader(sealed, batch_size), rows)
    failpoints.reach("snapshot_ended")
    return Snapshot(work.on(ended), snapshot.metrics)


def _open_pinned(work: Work) -> tuple[Source, Pin, Work]:
    if work.activation.pin is not None:
        spec = work.activation.pinned_spec()
        source = open_source(spec)
        if source.resumes:
            return source, Pin.from_json(work.activation.pin), work
        log.info("the state that was being read ended with its session: it is read anew, from the beginning")
    else:
        spec = work.branch.spec
    last = activations.last_committed(work.connection, work.branch.branch_id)
    source, pin = preflight.check(spec, _header(last))
    try:
        return source, pin, _record_pin(work, spec, pin)
    except BaseException:
        source.close()
        raise


def _record_pin(work: Work, spec: BranchSpec, pin: Pin) -> Work:
    with work.transaction() as connection:
        if work.activation.pin is None:
            activation = activations.pin(connection, work.activation, spec, pin.to_json())
        else:
            discard_parts(connection, work.activation.activation_id, ASSET)
            activation = activations.pin_again(connection, work.activation, pin.to_json())
    failpoints.reach("pinned")
    return work.on(activation)


def _reuse_last_parts(snapshot: Snapshot, store: PartStore, source: Source, pin: Pin, batch_size: int) -> Pin | None:
    """Store the parts of the last activation again, where the source is as that one read it; None where it is not."""
    work, activation_id = snapshot.work, snapshot.work.activation.activation_id
    last = activations.last_committed(work.connection, work.branch.branch_id)
    parts = listed_parts(work.connection, last.activation_id, ASSET) if last else []
    begun = listed_parts(work.connection, activation_id, ASSET)
    if last is None or not parts or not can_reuse(parts, begun, last.rows_read, batch_size):
        return None
    sealed = seal_if_unchanged(source, pin, work.activation, last, batch_size)
    if sealed is None:
        return None
    log.info("the source is as activation %d read it: its parts are taken over", last.activation_id)
    try:
        for part in parts[len(begun) :]:
            _reuse_part(snapshot, store, pin, part)
    except PartDamaged as error:
        log.warning("the source is read again: %s", error.what)
        return None
    return sealed


def _reuse_part(snapshot: Snapshot, store: PartStore, pin: Pin, part: ListedPart) -> None:
    assert part.cursor is not None, "of a snapshot"
    work, cursor = snapshot.work, Cursor.from_json(part.cursor)
    stored = store.copy(part.path, part.digest, part.rows, part_key(work, ASSET, part.part))
    if part.part == 0:
        _compare_columns(work, pin, Page(store.get(stored.path), cursor, 0))
    _record_part(work, part.part, stored, cursor)
    snapshot.metrics.rows += part.rows
    report(Progress(ASSET, cursor.rows, pin.estimated_rows))


def _read(snapshot: Snapshot, store: PartStore, source: Source, pin: Pin, batch_size: int) -> None:
    work = snapshot.work
    parts = listed_parts(work.connection, work.activation.activation_id, ASSET)
    cursor = parts[-1].cursor if parts else None
    if parts:
        log.info("resuming the snapshot after part %d", parts[-1].part)
    pages = source.pages(pin, batch_size, Cursor.from_json(cursor) if cursor else None)
    pages = _compare_first(work, pin, measured(pages, snapshot.metrics), len(parts))
    numbered = enumerate(pages, start=len(parts))
    # While a page is written the next one is read; what is written and not listed does not exist.
    with threads(1, ahead=1) as writer:
        for number, stored, cursor in writer.map(partial(_store_page, work, store), numbered):
            _record_part(work, number, stored, cursor)
            report(Progress(ASSET, cursor.rows, pin.estimated_rows))


def _compare_first(work: Work, pin: Pin, pages: Iterator[Page], begun: int) -> Iterator[Page]:
    """Pass the pages on; the columns of the very first are compared with the last activation's before it is stored."""
    for number, page in enumerate(pages, start=begun):
        if number == 0:
            _compare_columns(work, pin, page)
        yield page


def _store_page(work: Work, store: PartStore, numbered: tuple[int, Page]) -> tuple[int, StoredPart, Cursor]:
    number, page = numbered
    return number, store.put(part_key(work, ASSET, number), page.table), page.cursor


def _compare_columns(work: Work, pin: Pin, page: Page) -> None:
    last = activations.last_committed(work.connection, work.branch.branch_id)
    last_header = _header(last)
    comparison = drift.compare(
        page,
        pin,
        contract=work.spec.contract,
        against=last.activation_id if last and last_header else None,
        before={"columns": last_header, "kinds": ((last and last.drift) or {}).get("kinds", {})},
    )
    with work.transaction() as connection:
        activations.record_drift(connection, work.activation, comparison)
    gates.pass_or_block(work, contract(comparison, last_header, pin))


def _header(activation: Activation | None) -> tuple[str, ...]:
    return Pin.from_json(activation.pin).header if activation and activation.pin else ()


def _record_part(work: Work, number: int, stored: StoredPart, cursor: Cursor) -> None:
    with work.transaction() as connection:
        list_part(connection, work, ASSET, number, stored, cursor.to_json())
    failpoints.reach("part_listed")


def _close(work: Work, state: Literal["failed", "refused"], error: Refused) -> None:
    error.where = {**work.where, **error.where}
    with work.transaction() as connection:
        activations.close(connection, work.activation, state, error)
