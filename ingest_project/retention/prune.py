"""Pruning: what activations left behind that nothing will go back to.

Kept whatever its age: what is open or waits at a gate, and the newest ingested activation of each branch, which the
next one is compared with. Files go before the manifest forgets them, so that a prune that was killed is repeated;
history, rejects and batches go as whole partitions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ingest_project.extract.store import PartStore
from ingest_project.postgres import pulses, statements
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.settings import settings
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "prune.sql")
_PATIENCE = "5s"  # how long a drop waits for those who use the table; they wait behind it meanwhile


@dataclass(frozen=True)
class Policy:
    """Days since the end of an activation after which its parts and its history go; 0 keeps them for ever."""

    parts_days: int
    history_days: int

    @classmethod
    def declared(cls) -> "Policy":
        """That of this deployment's settings."""
        return cls(settings().keep_parts_days, settings().keep_history_days)


@dataclass(frozen=True)
class Pruned:
    """Something that went, or would go."""

    what: str
    first_activation: int
    last_activation: int
    bytes: int


def prune(connection: Connection, store: PartStore, policy: Policy, *, dry_run: bool = False) -> list[Pruned]:
    """Prune by policy and say what went; with `dry_run` say what would. May be repeated and killed at will."""
    parts = _prune_parts(connection, store, policy.parts_days, dry_run=dry_run) if policy.parts_days else iter(())
    history = _prune_history(connection, policy.history_days, dry_run=dry_run) if policy.history_days else iter(())
    went = [*parts, *history]
    if not dry_run:
        pulses.beat(connection, "prune")
    return went


def _prune_parts(connection: Connection, store: PartStore, days: int, *, dry_run: bool) -> Iterator[Pruned]:
    stored = store.activations()
    listed = {number for (number,) in connection.execute(_SQL["listed_activations"]).fetchall()}
    values = {"activations": sorted(listed | set(stored)), "days": days}
    for branch_id, number in connection.execute(_SQL["activations_to_prune"], values).fetchall():
        size = stored.get(number, 0)
        if not dry_run:
            store.drop(branch_id, number)
            with connection.transaction():
                connection.execute(_SQL["unlist_parts"], {"activation_id": number})
                _keep(connection, Pruned("parts", number, number, size))
        yield Pruned("parts", number, number, size)


def _prune_history(connection: Connection, days: int, *, dry_run: bool) -> Iterator[Pruned]:
    for _, first, last, partitions in connection.execute(_SQL["blocks_to_drop"], {"days": days}).fetchall():
        size = sum(_size(connection, name) for name in partitions)
        pruned = Pruned("history", first, last, size)
        if dry_run or _dropped(connection, pruned, partitions):
            yield pruned


def _size(connection: Connection, partition: str) -> int:
    return fetch_value(connection, _SQL["size_of_partition"], {"partition": partition}) or 0


def _dropped(connection: Connection, pruned: Pruned, partitions: list[str]) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("set local lock_timeout = {}").format(_PATIENCE))
            for name in partitions:
                connection.execute(_SQL["drop_partition"].format(partition=sql.Identifier(*name.split("."))))
            _keep(connection, pruned)
    except psycopg.errors.LockNotAvailable:
        log.warning(
            "history of activations %d to %d is in use; the next prune tries again",
            pruned.first_activation,
            pruned.last_activation,
        )
        return False
    return True


def _keep(connection: Connection, pruned: Pruned) -> None:
    values = {
        "what": pruned.what,
        "first": pruned.first_activation,
        "last": pruned.last_activation,
        "bytes": pruned.bytes,
    }
    connection.execute(_SQL["keep_pruning"], values)
