"""The resource of a run: its options, its database session, and the lease that it holds on a branch."""

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
from ingest_project.upsert.saved_plan import find_saved_plan

# States of an activation in which a step may take it: after the snapshot, the normalization, and the upsert.
SNAPSHOTTED = frozenset({"snapshotted", "accepted", "planned", "committed", "done"})
READY = frozenset({"accepted", "planned", "committed", "done"})
COMMITTED = frozenset({"committed", "done"})
# States of a Dagster run that has ended.
FINISHED = frozenset({dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED})


@dataclass
class _RunState:
    """What one process of a run holds open; `exit` closes it with the resource, whatever happened."""

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
    _run_state: _RunState | None = PrivateAttr(None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["IngestRun", None, None]:
        """Opens nothing by itself; releases at the end what the steps have taken: lease, heartbeat, session."""
        run = context.run
        run_id = run.run_id if run else "-"
        holder = (run.root_run_id if run else None) or run_id
        assert context.instance is not None
        self._run_state = _RunState(context.instance, run_id, holder)
        with correlated(run_id), self._run_state.exit:
            try:
                yield self
            finally:
                with _signals_ignored():
                    self._release()

    # ── for assets and IO managers ─────────────────────────────────────────────────────────────────────────

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
        """Lease the branch and open the activation for this run. Raises Locked, ActivationClosed, PlanMoved."""
        branch = self.branch(name)
        lease = self._lease(branch)
        self._finish_rollback(branch, lease)
        if self.plan is not None:
            find_saved_plan(self._session(), branch, self.plan)
        wanted = self._wanted_activation
        work = snapshot.begin(self._session(), lease, branch, activation_id=wanted, plan_only=self._is_plan)
        self._tag_run(work)
        return work

    def take(self, name: str, states: frozenset[str]) -> tuple[Work, bool]:
        """Lease the branch and take the newest activation that is in one of `states`.

        The second value is whether another run has committed it already: the step then repairs what that run wrote.
        Raises Locked, ActivationUnknown, ActivationClosed.
        """
        branch = self.branch(name)
        lease = self._lease(branch)
        connection = self._session()
        with leases.fenced(connection, lease):
            if self.activation is not None:
                activation = activations.get(connection, branch.branch_id, self.activation)
                gates.refuse_blocked(connection, branch.name, activation)
            activation = activations.select_ready(
                connection, branch.branch_id, holder=lease.holder, states=states, wanted=self._wanted_activation
            )
            repair = activation.committed_at is not None and activation.claimed_by != lease.holder
            if repair:
                self._refuse_older(connection, activation)
            # Only the last step claims what is committed: a repair that is tried again must still be seen as one.
            if activation.is_open and (activation.committed_at is None or states == COMMITTED):
                activation = activations.claim(connection, activation, holder=lease.holder, plan_only=self._is_plan)
        work = Work(connection, lease, branch, activation)
        self._tag_run(work)
        return work, repair

    def release_branch(self) -> None:
        """Free the branch before the run ends, for steps that do not write for it."""
        self._release()
        self._running().lease = None

    @property
    def _wanted_activation(self) -> int | None:
        return self.plan if self.plan is not None else self.activation

    @property
    def _is_plan(self) -> bool:
        # A saved plan is ingested only once the upsert has found its rows in core.items unchanged.
        return self.dry_run or self.plan is not None

    def _finish_rollback(self, branch: Branch, lease: Lease) -> None:
        # A rollback that was killed half way is finished first: an ingest must find the items as they were before.
        rollback = activations.open_rollback(self._session(), branch.branch_id)
        if rollback is not None:
            derive_requests(undo_all(Work(self._session(), lease, branch, rollback)))

    @staticmethod
    def _refuse_older(connection: Connection, activation: Activation) -> None:
        newest = activations.select_ready(connection, activation.branch_id, holder="", states=COMMITTED, wanted=None)
        if newest.activation_id > activation.activation_id:
            raise ActivationClosed(
                f"activation {activation.activation_id} is in the past: {newest.activation_id} was ingested after it",
                where={"activation": activation.activation_id},
            )

    # ── session and lease ──────────────────────────────────────────────────────────────────────────────────

    def _running(self) -> _RunState:
        assert self._run_state is not None, "only inside a run"
        return self._run_state

    def _session(self) -> Connection:
        state = self._running()
        if state.connection is None or state.connection.closed or state.connection.broken:
            ensure_migrated()
            state.connection = state.exit.enter_context(_closing(connect()))
        return state.connection

    def _lease(self, branch: Branch) -> Lease:
        state = self._running()
        if state.lease is None or state.lease.branch_id != branch.branch_id:
            state.lease = leases.acquire(
                self._session(),
                branch.branch_id,
                branch.name,
                holder=state.holder,
                run_id=state.run_id,
                is_gone=self._is_gone,
            )
            state.exit.enter_context(leases.kept_alive(state.lease))
            report_dead_run(state.instance, state.lease.taken_from)
        return state.lease

    def _is_gone(self, holder: Holder) -> bool:
        return leases.process_is_gone(holder) or run_is_finished(self._running().instance, holder.run_id)

    def _tag_run(self, work: Work) -> None:
        state = self._running()
        tags = {"ingest/branch": work.branch.name, "ingest/activation": str(work.activation.activation_id)}
        with suppress(dg.DagsterRunNotFoundError):
            state.instance.add_run_tags(state.run_id, tags)

    def _release(self) -> None:
        lease = self._running().lease
        if lease is None:
            return
        try:
            with connect() as connection:
                leases.release(connection, lease)
        except Exception as error:
            log.warning("the lease of %r was not released: %s", lease.branch, error)


def run_is_finished(instance: dg.DagsterInstance, run_id: str | None) -> bool:
    """Whether Dagster knows this run and it has ended."""
    run = instance.get_run_by_id(run_id) if run_id and run_id != "-" else None
    return run is not None and run.status in FINISHED


def report_dead_run(instance: dg.DagsterInstance, run_id: str | None) -> None:
    """Mark a run in Dagster as failed whose process is gone or whose branch was taken over.

    Nothing else would: it would count as running for ever, and runs of its branch would queue behind it.
    """
    run = instance.get_run_by_id(run_id) if run_id and run_id != "-" else None
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "its process is gone, or another run took its branch over")


@contextmanager
def _signals_ignored() -> Generator[None, None, None]:
    """Ignore signals inside: a second Ctrl-C must not keep the branch from being freed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _closing(connection: Connection) -> Generator[Connection, None, None]:
    try:
        yield connection
    finally:
        with suppress(psycopg.Error):
            connection.close()
