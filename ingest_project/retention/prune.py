"""Pruning of what ended activations have left behind, once it is older than the policy says.

Kept whatever its age: open activations, those that wait at a gate, and the newest ingested activation of each branch,
which the next one is compared with. Files are deleted before their rows in the manifest, so that a killed prune can be
repeated; history, rejects and batch rows are dropped as whole partitions.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import psycopg
from psycopg import sql

from ingest_project.extract.store import PartStore
from ingest_project.postgres import pulses, statements
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.settings import settings
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "prune.sql")
_LOCK_TIMEOUT = "5s"  # how long a drop waits for a lock on the table; other sessions queue behind it meanwhile


@dataclass(frozen=True)
class Policy:
    """Days after the end of an activation at which its parts and its history are pruned; 0 keeps them for ever."""

    parts_days: int
    history_days: int

    @classmethod
    def declared(cls) -> "Policy":
        """The policy in the settings of this deployment."""
        return cls(settings().keep_parts_days, settings().keep_history_days)


@dataclass(frozen=True)
class Pruning:
    """Something that was pruned, or would be."""

    what: str
    first_activation: int
    last_activation: int
    bytes: int


def prune(connection: Connection, store: PartStore, policy: Policy, *, dry_run: bool = False) -> list[Pruning]:
    """Prune by policy; return what was pruned, or with `dry_run` what would be. Can be killed and repeated at will."""
    prunings: list[Pruning] = []
    if policy.parts_days:
        prunings += _prune_parts(connection, store, policy.parts_days, dry_run=dry_run)
    if policy.history_days:
        prunings += _prune_history(connection, policy.history_days, dry_run=dry_run)
    if not dry_run:
        pulses.beat(connection, "prune")
    return prunings


def _prune_parts(connection: Connection, store: PartStore, days: int, *, dry_run: bool) -> Iterator[Pruning]:
    stored_bytes = store.activations()
    listed = {activation_id for (activation_id,) in connection.execute(_SQL["listed_activations"]).fetchall()}
    values = {"activations": sorted(listed | set(stored_bytes)), "days": days}
    for branch_id, activation_id in connection.execute(_SQL["activations_to_prune"], values).fetchall():
        pruning = Pruning("parts", activation_id, activation_id, stored_bytes.get(activation_id, 0))
        if not dry_run:
            store.drop(branch_id, activation_id)
            with connection.transaction():
                connection.execute(_SQL["unlist_parts"], {"activation_id": activation_id})
                _record(connection, pruning)
        yield pruning


def _prune_history(connection: Connection, days: int, *, dry_run: bool) -> Iterator[Pruning]:
    for _, first, last, partitions in connection.execute(_SQL["blocks_to_drop"], {"days": days}).fetchall():
        size = sum(_size(connection, name) for name in partitions)
        pruning = Pruning("history", first, last, size)
        if dry_run or _drop_partitions(connection, pruning, partitions):
            yield pruning


def _size(connection: Connection, partition: str) -> int:
    return fetch_value(connection, _SQL["size_of_partition"], {"partition": partition}) or 0


def _drop_partitions(connection: Connection, pruning: Pruning, partitions: list[str]) -> bool:
    """Drop them in one transaction; whether they could be locked in time."""
    try:
        with connection.transaction():
            connection.execute(sql.SQL("set local lock_timeout = {}").format(_LOCK_TIMEOUT))
            for name in partitions:
                connection.execute(_SQL["drop_partition"].format(partition=sql.Identifier(*name.split("."))))
            _record(connection, pruning)
    except psycopg.errors.LockNotAvailable:
        log.warning(
            "history of activations %d to %d is in use; the next prune tries again",
            pruning.first_activation,
            pruning.last_activation,
        )
        return False
    return True


def _record(connection: Connection, pruning: Pruning) -> None:
    connection.execute(_SQL["record_pruning"], asdict(pruning))
