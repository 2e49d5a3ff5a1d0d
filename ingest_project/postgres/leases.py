"""Who works on a branch: a lease with an epoch, held by a run, checked by every transaction that writes.

A lock alone is not enough: a holder may be stopped, cut off, or outlived by its own children. So each writing
transaction takes a shared advisory lock and compares the epoch (`fence`); a take-over takes the exclusive form,
which waits for the batch under way, and raises the epoch. Who was taken over finds out at its next batch.
"""

import os
import shlex
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import psutil
import psycopg
from psycopg.rows import class_row

from ingest_project.errors import Fenced, Locked, first_line
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, connect
from ingest_project.settings import settings
from ingest_project.telemetry import correlated, log

_SQL = statements.load(__name__, "leases.sql")
NAMESPACE = 0x696E6765  # "inge": keeps our advisory locks apart from the application's


@dataclass(frozen=True)
class Lease:
    """The right of one run to write for one branch, until somebody raises the epoch."""

    branch_id: int
    branch: str
    holder: str
    run_id: str
    epoch: int
    taken_from: str | None = None  # run id of a holder that had not let go


@dataclass(frozen=True)
class Holder:
    """A lease row as found."""

    epoch: int
    holder: str | None
    run_id: str | None
    host: str | None
    pid: int | None
    process_started: float | None
    acquired_at: datetime | None
    heartbeat_at: datetime | None
    expired: bool
    branch_id: int | None = None

    def is_this_process(self, run_id: str) -> bool:
        me = psutil.Process()
        return (self.run_id, self.host, self.pid, self.process_started) == (
            run_id,
            this_host(),
            me.pid,
            me.create_time(),
        )


@cache
def this_host() -> str:
    """Names this machine, boot and process namespace: only within one does a pid mean anything."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        return f"{socket.gethostname()} ({boot}:{Path('/proc/self/ns/pid').readlink().name.strip('pid:[]')})"
    except OSError:
        return socket.gethostname()


def process_is_gone(holder: Holder) -> bool:
    """True where the holder ran on this host and its process is no more; False where that cannot be told."""
    if holder.host != this_host() or holder.pid is None:
        return False
    try:
        return psutil.Process(holder.pid).create_time() != holder.process_started
    except psutil.NoSuchProcess:
        return True


def acquire(
    connection: Connection,
    branch_id: int,
    branch: str,
    *,
    holder: str,
    run_id: str,
    is_gone: Callable[[Holder], bool] = process_is_gone,
) -> Lease:
    """Take the branch for a run, at once or not at all.

    A retry of the same root run (`holder`) takes over, as does anyone from a holder that has expired or is gone.
    Raises Locked with run, host and time of a live holder.
    """
    with connection.transaction():
        connection.execute(_SQL["make_lease"], {"branch_id": branch_id})
        found = _lock_lease(connection, branch_id)
        if found.holder == holder and found.is_this_process(run_id):
            return Lease(branch_id, branch, holder, run_id, found.epoch)
        if found.holder not in (None, holder) and not found.expired and not is_gone(found):
            raise _locked(found, branch)
        _wait_for_batches(connection, branch_id)
        epoch = _take(connection, branch_id, holder, run_id)
    if found.holder is not None:
        log.warning("took branch %r over from run %s on %s", branch, found.run_id, found.host)
    return Lease(branch_id, branch, holder, run_id, epoch, found.run_id)


def _lock_lease(connection: Connection, branch_id: int) -> Holder:
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        found = cursor.execute(_SQL["lock_lease"], {"branch_id": branch_id}).fetchone()
    assert found is not None, "make_lease came before"
    return found


def _locked(found: Holder, branch: str) -> Locked:
    last_seen = f"{found.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC"
    return Locked(
        f"branch {branch!r} is held by run {found.run_id} since {found.acquired_at:%Y-%m-%d %H:%M:%S} UTC",
        where={"branch": branch, "host": found.host, "process": found.pid, "last seen": last_seen},
        todo=f"Wait for it to end (`ingest status {shlex.quote(branch)}`), then run the same command again.",
    )


def _wait_for_batches(connection: Connection, branch_id: int) -> None:
    # A stopped process can sit in the middle of a COPY for ever; it has lost the branch, so its session goes.
    place = {"namespace": NAMESPACE, "branch_id": branch_id}
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '5s'")
            connection.execute(_SQL["lock_branch_exclusively"], place)
    except psycopg.errors.LockNotAvailable:
        connection.execute(_SQL["end_stuck_batches"], place)
        connection.execute(_SQL["lock_branch_exclusively"], place)


def _take(connection: Connection, branch_id: int, holder: str, run_id: str) -> int:
    me = psutil.Process()
    row = connection.execute(
        _SQL["take_lease"],
        {
            "branch_id": branch_id,
            "holder": holder,
            "run_id": run_id,
            "host": this_host(),
            "pid": os.getpid(),
            "process_started": me.create_time(),
            "seconds": settings().lease_seconds,
        },
    ).fetchone()
    assert row is not None
    return row[0]


def fence(connection: Connection, lease: Lease) -> None:
    """First act of every transaction that writes for a branch. Raises Fenced where the branch went to another run."""
    connection.execute(_SQL["lock_branch_shared"], {"namespace": NAMESPACE, "branch_id": lease.branch_id})
    row = connection.execute(_SQL["read_epoch"], {"branch_id": lease.branch_id}).fetchone()
    if row is None or row[0] != lease.epoch:
        raise Fenced(where={"branch": lease.branch, "run": lease.run_id})


@contextmanager
def fenced(connection: Connection, lease: Lease) -> Generator[None]:
    """One transaction that writes for a branch, or nothing."""
    with connection.transaction():
        fence(connection, lease)
        yield


def renew(connection: Connection, lease: Lease) -> bool:
    """Heartbeat; False where the lease is no longer ours."""
    values = {"branch_id": lease.branch_id, "epoch": lease.epoch, "seconds": settings().lease_seconds}
    return connection.execute(_SQL["renew_lease"], values).fetchone() is not None


def release(connection: Connection, lease: Lease) -> None:
    """Free the branch; does nothing where another run has it."""
    connection.execute(_SQL["release_lease"], {"branch_id": lease.branch_id, "epoch": lease.epoch})


@contextmanager
def held(
    connection: Connection, branch_id: int, branch: str, *, run_id: str, holder: str | None = None
) -> Generator[Lease]:
    """The branch for as long as the block runs, renewed meanwhile, free again however it ends.

    Everything inside carries the run id. Raises Locked.
    """
    with correlated(run_id):
        lease = acquire(connection, branch_id, branch, holder=holder or run_id, run_id=run_id)
        try:
            with kept_alive(lease):
                yield lease
        finally:
            if not connection.closed:
                release(connection, lease)


def held_leases(connection: Connection) -> list[Holder]:
    """All leases that are held, live or left behind."""
    with connection.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(_SQL["held_leases"]).fetchall()


@contextmanager
def kept_alive(lease: Lease) -> Generator[None]:
    """Renew the lease from a thread with a session of its own while the block runs."""
    done = threading.Event()
    beat = partial(copy_context().run, _beat, lease, done)  # with the run's correlation id
    thread = threading.Thread(target=beat, name=f"lease-{lease.branch_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _beat(lease: Lease, done: threading.Event) -> None:
    while not done.wait(settings().lease_seconds / 3):
        try:
            with connect() as connection:
                if not renew(connection, lease):
                    return
        except Exception as error:
            log.warning("the lease of %r could not be renewed: %s", lease.branch, first_line(error))
