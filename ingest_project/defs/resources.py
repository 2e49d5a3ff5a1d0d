"""The run as Dagster sees it: its options, its session, and the lease it holds on a branch."""

import signal
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import psycopg
from pydantic import Field, PrivateAttr

from ingest_project.branches import activations, gates
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch, get_branch
from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.errors import ActivationClosed
from ingest_project.extract import snapshot
from ingest_project.extract.store import PartStore
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, connect
from ingest_project.postgres.leases import Holder, Lease
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.settings import settings
from ingest_project.telemetry import correlated, log
from ingest_project.upsert.rollback import undo_all
from ingest_project.upsert.saved_plan import planned

# Of activations: what the steps after the snapshot, the normalized items and the upsert take.
SNAPSHOTTED = frozenset({"snapshotted", "accepted", "planned", "committed", "done"})
READY = frozenset({"accepted", "planned", "committed", "done"})
COMMITTED = frozenset({"committed", "done"})
# Of runs.
FINISHED = frozenset({dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED})


@dataclass
class _AtWork:
    """What one process of a run holds open: ended with the resource, whatever happened."""

    instance: dg.DagsterInstance
    run_id: str
    holder: str
    exit: ExitStack = field(default_factory=ExitStack)
    connection: Connection | None = None
    lease: Lease | None = None


class IngestRun(dg.ConfigurableResource[Any]):
    """Options of one run, set once for all its assets."""

    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Rows per part; left empty, INGEST_BATCH_SIZE or 50,000. Parts that exist keep their size.",
    )
    dry_run: bool = Field(
        default=False, description="Read, normalize and say what would change; write nothing to core."
    )
    activation: int | None = Field(
        default=None, ge=1, description="Work on this activation; left empty, on the open one or on a new one."
    )
    save: bool = Field(default=False, description="Of a dry run: keep the plan, so that a run can apply exactly that.")
    plan: int | None = Field(
        default=None, ge=1, description="Apply this saved plan exactly, or refuse because something moved since."
    )
    _at_work: _AtWork | None = PrivateAttr(None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["IngestRun", None, None]:
        """Hold nothing yet; end with whatever the steps took: lease, heartbeat, session."""
        run = context.run
        run_id = run.run_id if run else "-"
        holder = (run.root_run_id if run else None) or run_id
        assert context.instance is not None
        self._at_work = _AtWork(context.instance, run_id, holder)
        with correlated(run_id), self._at_work.exit:
            try:
                yield self
            finally:
                with _undisturbed():
                    self._release()

    # ── what assets and IO managers ask for ────────────────────────────────────────────────────────────────

    @property
    def rows_per_part(self) -> int:
        return self.batch_size or settings().batch_size

    @property
    def store(self) -> PartStore:
        return PartStore(settings().store_location)

    def branch(self, name: str) -> Branch:
        """The registered branch. Raises BranchUnknown."""
        return get_branch(self._session(), name)

    def begin(self, name: str) -> Work:
        """Lease the branch and open the activation that this run ingests. Raises Locked, ActivationClosed."""
        branch = self.branch(name)
        lease = self._leased(branch)
        self._end_rollback(branch, lease)
        if self.plan is not None:
            planned(self._session(), branch, self.plan)
        work = snapshot.begin(self._session(), lease, branch, wanted=self._wanted, plan_only=self._is_plan)
        self._tag(work)
        return work

    def take(self, name: str, states: frozenset[str]) -> tuple[Work, bool]:
        """Lease the branch and take the newest activation that is ready for a step.

        The second value tells whether this run took it over finished by another one: then a step repairs. Raises
        Locked, ActivationUnknown, ActivationClosed.
        """
        branch = self.branch(name)
        lease = self._leased(branch)
        connection = self._session()
        with leases.fenced(connection, lease):
            if self.activation is not None:
                wanted = activations.get(connection, branch.branch_id, self.activation)
                gates.refuse_blocked(connection, branch.name, wanted)
            found = activations.select_ready(
                connection, branch.branch_id, holder=lease.holder, states=states, wanted=self._wanted
            )
            repair = found.committed_at is not None and found.claimed_by != lease.holder
            if repair:
                self._refuse_older(connection, found)
            # What is committed is claimed by the last step only: a repair that is tried again is still a repair.
            if found.is_open and (found.committed_at is None or states == COMMITTED):
                found = activations.claim(connection, found, holder=lease.holder, plan_only=self._is_plan)
        work = Work(connection, lease, branch, found)
        self._tag(work)
        return work, repair

    @property
    def _wanted(self) -> int | None:
        return self.plan if self.plan is not None else self.activation

    @property
    def _is_plan(self) -> bool:
        # A saved plan is nobody's to ingest until its live rows are found to be as they were.
        return self.dry_run or self.plan is not None

    def _end_rollback(self, branch: Branch, lease: Lease) -> None:
        # One that was killed half way: what is ingested next must find the items as they were before.
        found = activations.open_rollback(self._session(), branch.branch_id)
        if found is not None:
            derive_requests(undo_all(Work(self._session(), lease, branch, found)))

    @staticmethod
    def _refuse_older(connection: Connection, found: Activation) -> None:
        newest = activations.select_ready(connection, found.branch_id, holder="", states=COMMITTED, wanted=None)
        if newest.activation_id > found.activation_id:
            raise ActivationClosed(
                f"activation {found.activation_id} is in the past: {newest.activation_id} was ingested after it",
                where={"activation": found.activation_id},
            )

    # ── what it holds ──────────────────────────────────────────────────────────────────────────────────────

    def _holds(self) -> _AtWork:
        assert self._at_work is not None, "only inside a run"
        return self._at_work

    def _session(self) -> Connection:
        held = self._holds()
        if held.connection is None or held.connection.closed or held.connection.broken:
            ensure_migrated()
            held.connection = held.exit.enter_context(_closing(connect()))
        return held.connection

    def _leased(self, branch: Branch) -> Lease:
        held = self._holds()
        if held.lease is None or held.lease.branch_id != branch.branch_id:
            held.lease = leases.acquire(
                self._session(),
                branch.branch_id,
                branch.name,
                holder=held.holder,
                run_id=held.run_id,
                is_gone=self._is_gone,
            )
            held.exit.enter_context(leases.kept_alive(held.lease))
            report_gone(held.instance, held.lease.taken_from)
        return held.lease

    def _is_gone(self, holder: Holder) -> bool:
        return leases.process_is_gone(holder) or run_is_finished(self._holds().instance, holder.run_id)

    def _tag(self, work: Work) -> None:
        held = self._holds()
        tags = {"ingest/branch": work.branch.name, "ingest/activation": str(work.activation.activation_id)}
        with suppress(dg.DagsterRunNotFoundError):
            held.instance.add_run_tags(held.run_id, tags)

    def release_branch(self) -> None:
        """Free the branch before the run ends: what follows does not write for it."""
        self._release()
        self._holds().lease = None

    def _release(self) -> None:
        held = self._holds()
        if held.lease is None:
            return
        try:
            with connect() as connection:
                leases.release(connection, held.lease)
        except Exception as error:
            log.warning("the lease of %r was not released: %s", held.lease.branch, error)


def run_is_finished(instance: dg.DagsterInstance, run_id: str | None) -> bool:
    """True where Dagster knows this run and it has ended."""
    run = instance.get_run_by_id(run_id) if run_id and run_id != "-" else None
    return run is not None and run.status in FINISHED


def report_gone(instance: dg.DagsterInstance, run_id: str | None) -> None:
    """End a run in Dagster whose process is gone or was passed over: left alone it counts as running for ever.

    Nothing else would end it, and runs of its branch would wait in the queue behind it.
    """
    run = instance.get_run_by_id(run_id) if run_id and run_id != "-" else None
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "its process is gone, or another run took its branch over")


@contextmanager
def _undisturbed() -> Generator[None, None, None]:
    """Signals are swallowed meanwhile: a second Ctrl-C must not keep the branch from being freed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _closing(connection: Connection) -> Generator[Connection, None, None]:
    try:
        yield connection
    finally:
        with suppress(psycopg.Error):
            connection.close()
