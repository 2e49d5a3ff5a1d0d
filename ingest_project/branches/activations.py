"""Activations: each is one state of a branch's data, ingested once. This module moves them from state to state.

requested → pinned → snapshotted → (blocked | accepted) → committed → done
                                      │        └ planned (by a dry run; a run or `ingest activate` continues it)
                                      └ back to the state before, once a person has accepted the gates that blocked it
refused, failed, superseded: closed without being ingested
rolled_back: undone by an activation of kind `rollback`, which goes accepted → committed → done
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ActivationClosed, ActivationUnknown, Fenced, IngestError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

OPEN = frozenset({"requested", "pinned", "snapshotted", "normalized", "accepted", "planned", "committed"})


@dataclass(frozen=True)
class Activation:
    """A row of ingest.activations."""

    activation_id: int
    branch_id: int
    kind: str
    state: str
    requested_by: str
    claimed_by: str | None
    plan_only: bool
    spec: dict[str, Any] | None
    pin: dict[str, Any] | None
    normalizer_version: str | None
    rows_read: int | None
    carried: int | None
    rejected: int | None
    valid: int | None
    inserted: int | None
    updated: int | None
    touched: int | None
    unchanged: int | None
    stale: int | None
    missing: int | None
    tombstoned: int | None
    undoes: int | None
    requests: int | None
    plan: dict[str, Any] | None
    drift: dict[str, Any] | None
    error: dict[str, Any] | None
    requested_at: datetime
    pinned_at: datetime | None
    snapshotted_at: datetime | None
    normalized_at: datetime | None
    accepted_at: datetime | None
    committed_at: datetime | None
    done_at: datetime | None
    closed_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def reported_drift(self) -> list[str]:
        """How its columns differ from the last committed activation's; empty if the contract is `evolve`."""
        drift = self.drift or {}
        return [change["what"] for change in drift.get("changes", []) if drift["contract"] != "evolve"]

    def pinned_spec(self) -> BranchSpec:
        """The spec as it was when the source was pinned: a file that is applied later does not affect this run."""
        assert self.spec is not None, "pinned"
        return BranchSpec.model_validate(self.spec)


_COLUMNS = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(Activation))
_A_COLUMNS = sql.SQL(", ").join(sql.Identifier("a", field.name) for field in fields(Activation))
_SQL = {
    name: text.format(columns=_COLUMNS, a_columns=_A_COLUMNS)
    for name, text in statements.load(__name__, "activations.sql").items()
}


def _fetch_one(connection: Connection, statement: str, values: Mapping[str, object]) -> Activation | None:
    with connection.cursor(row_factory=class_row(Activation)) as cursor:
        return cursor.execute(_SQL[statement], values).fetchone()


def find(connection: Connection, branch_id: int, activation_id: int) -> Activation | None:
    """One activation of this branch, if it exists."""
    return _fetch_one(connection, "find_activation", {"branch_id": branch_id, "activation_id": activation_id})


def get(connection: Connection, branch_id: int, activation_id: int) -> Activation:
    """One activation of this branch. Raises ActivationUnknown."""
    activation = find(connection, branch_id, activation_id)
    if activation is None:
        raise ActivationUnknown(f"this branch has no activation {activation_id}", where={"activation": activation_id})
    return activation


def find_open(connection: Connection, branch_id: int) -> Activation | None:
    """The open activation of the branch; it has at most one."""
    return _fetch_one(connection, "find_open", {"branch_id": branch_id})


def newest(connection: Connection, branch_id: int, count: int = 10) -> list[Activation]:
    """The last activations of a branch, newest first."""
    with connection.cursor(row_factory=class_row(Activation)) as cursor:
        return cursor.execute(_SQL["newest_activations"], {"branch_id": branch_id, "count": count}).fetchall()


def needing_a_run(connection: Connection) -> list[tuple[str, int]]:
    """(branch, activation) of the open activations that no run works on, dry runs' aside; oldest first."""
    return connection.execute(_SQL["needing_a_run"]).fetchall()  # pyright: ignore[reportReturnType]


def select_ready(
    connection: Connection, branch_id: int, *, holder: str, states: frozenset[str], wanted: int | None
) -> Activation:
    """The activation that a step after the snapshot works on: the wanted one, its run's own, or the newest ready one.

    Raises ActivationUnknown if there is none, ActivationClosed if the wanted one is in none of these states.
    """
    if wanted is not None:
        activation = get(connection, branch_id, wanted)
    else:
        activation = _fetch_one(connection, "claimed_by_run", {"branch_id": branch_id, "holder": holder})
        if activation is None or activation.state not in states:
            values = {"branch_id": branch_id, "states": sorted(states)}
            activation = _fetch_one(connection, "newest_in_state", values)
    if activation is None:
        raise ActivationUnknown("no activation of this branch is ready for this step")
    if activation.state not in states:
        raise ActivationClosed(
            f"activation {activation.activation_id} is {activation.state}; this step takes {', '.join(sorted(states))}",
            where={"activation": activation.activation_id},
        )
    return activation


def create(connection: Connection, branch_id: int, *, holder: str, plan_only: bool) -> Activation:
    """A new activation, claimed by the run that creates it; or the open one, if another process was faster."""
    values = {"branch_id": branch_id, "holder": holder, "plan_only": plan_only}
    created = _fetch_one(connection, "create_activation", values)
    if created is None:
        return claim(connection, _moved_or_fenced(find_open(connection, branch_id)), holder=holder, plan_only=plan_only)
    return created


def create_replay(connection: Connection, branch_id: int, *, holder: str) -> Activation:
    """A new activation for a replay of rejects; the branch must have no open one."""
    return _moved_or_fenced(_fetch_one(connection, "create_replay", {"branch_id": branch_id, "holder": holder}))


def claim(connection: Connection, activation: Activation, *, holder: str, plan_only: bool) -> Activation:
    """Claim an open activation for a run; a real run continues a planned one. Raises Fenced if it is closed."""
    return _move(connection, "claim_activation", activation, holder=holder, plan_only=plan_only)


def rollback_of(connection: Connection, activation_id: int) -> Activation | None:
    """The rollback that undoes an activation, in any state."""
    return _fetch_one(connection, "rollback_of", {"activation_id": activation_id})


def open_rollback(connection: Connection, branch_id: int) -> Activation | None:
    """A rollback of the branch that has begun and has not ended."""
    return _fetch_one(connection, "open_rollback", {"branch_id": branch_id})


def begin_rollback(
    connection: Connection, target: Activation, *, spec: BranchSpec, holder: str, items: int, plan: Mapping[str, Any]
) -> Activation:
    """Create the activation that rolls back `target`. Raises Fenced if another run has created it."""
    return _move(
        connection,
        "begin_rollback",
        target,
        spec=Jsonb(spec.canonical()),
        holder=holder,
        items=items,
        plan=Jsonb(plan),
    )


def pin(connection: Connection, activation: Activation, spec: BranchSpec, pinned: Mapping[str, Any]) -> Activation:
    """Record which state of the source will be read, and under which spec."""
    return _move(connection, "pin_activation", activation, pin=Jsonb(pinned), spec=Jsonb(spec.canonical()))


def pin_again(connection: Connection, activation: Activation, pinned: Mapping[str, Any]) -> Activation:
    """Record that another state of the source will be read instead, under the same spec."""
    return _move(connection, "pin_again", activation, pin=Jsonb(pinned))


def end_snapshot(
    connection: Connection, activation: Activation, pinned: Mapping[str, Any], rows_read: int
) -> Activation:
    """Record that every page is stored; `pinned` now has the digests of what was read."""
    return _move(connection, "end_snapshot", activation, pin=Jsonb(pinned), rows_read=rows_read)


def end_normalization(
    connection: Connection,
    activation: Activation,
    *,
    rows_read: int,
    rejected: int,
    valid: int,
    normalizer_version: str,
    blocked: IngestError | None,
) -> Activation:
    """Record that every part is normalized; `blocked` says which limits were exceeded, if any."""
    return _move(
        connection,
        "end_normalization",
        activation,
        state="blocked" if blocked else "accepted",
        rows_read=rows_read,
        rejected=rejected,
        valid=valid,
        normalizer_version=normalizer_version,
        error=Jsonb(_as_json(blocked)) if blocked else None,
    )


def block(connection: Connection, activation: Activation, error: IngestError) -> Activation:
    """Stop it at a gate until a person accepts that."""
    return _move(connection, "block_activation", activation, error=Jsonb(_as_json(error)))


def reopen_accepted(connection: Connection, activation: Activation) -> Activation:
    """Let a blocked activation continue from the state before. Raises Fenced if it is no longer blocked."""
    return _move(connection, "reopen_accepted", activation)


def last_committed(connection: Connection, branch_id: int) -> Activation | None:
    """The newest activation of the branch that is in core, if any: the next one is compared with it."""
    return _fetch_one(connection, "last_committed", {"branch_id": branch_id})


def record_drift(connection: Connection, activation: Activation, drift: Mapping[str, Any]) -> Activation:
    """Record how the columns of the source differ from the last committed activation's."""
    return _move(connection, "record_drift", activation, drift=Jsonb(drift))


def record_plan(connection: Connection, activation: Activation, plan: Mapping[str, Any]) -> Activation:
    """Record what the upsert would do."""
    return _move(connection, "record_plan", activation, plan=Jsonb(plan))


def commit(connection: Connection, activation: Activation, *, missing: int, tombstoned: int = 0) -> Activation:
    """Record that every batch is committed; older activations of the branch are superseded."""
    committed = _move(connection, "commit_activation", activation, missing=missing, tombstoned=tombstoned)
    if activation.kind == "ingest":
        values = {"branch_id": activation.branch_id, "activation_id": activation.activation_id}
        connection.execute(_SQL["supersede_older"], values)
    return committed


def reopen_repaired(connection: Connection, activation: Activation) -> None:
    """Reopen a finished activation whose items a repair changed: its requests must be derived again."""
    connection.execute(_SQL["reopen_repaired"], {"activation_id": activation.activation_id})


def add_requests(connection: Connection, activation: Activation, requests: int) -> Activation:
    """Add to its number of embedding requests those that the open transaction created; more will follow."""
    return _move(connection, "add_requests", activation, requests=requests)


def finish(connection: Connection, activation: Activation, *, requests: int) -> Activation:
    """Record that every item it changed has its embedding request; `requests` are those since `add_requests`."""
    return _move(connection, "finish_activation", activation, requests=requests)


def close(
    connection: Connection,
    activation: Activation,
    state: Literal["refused", "failed", "superseded"],
    error: IngestError,
) -> Activation | None:
    """End it without ingesting it; None if it is committed already."""
    values = {"activation_id": activation.activation_id, "state": state, "error": Jsonb(_as_json(error))}
    return _fetch_one(connection, "close_activation", values)


def note_error(connection: Connection, activation: Activation, error: IngestError) -> None:
    """Record why an attempt stopped, for `ingest status`; the state of the activation stays."""
    values = {"activation_id": activation.activation_id, "error": Jsonb(_as_json(error))}
    connection.execute(_SQL["note_error"], values)


def has_batches(connection: Connection, activation: Activation) -> bool:
    """Whether anything of it is in core already."""
    return bool(fetch_value(connection, _SQL["has_batches"], {"activation_id": activation.activation_id}))


def _move(connection: Connection, statement: str, activation: Activation, **values: object) -> Activation:
    return _moved_or_fenced(_fetch_one(connection, statement, {"activation_id": activation.activation_id, **values}))


def _moved_or_fenced(activation: Activation | None) -> Activation:
    # Each statement names the states it starts from: no row means that another run has moved the activation.
    if activation is None:
        raise Fenced("the activation was moved on by another run meanwhile; nothing was written")
    return activation


def _as_json(error: IngestError) -> dict[str, Any]:
    where = {key: str(value) for key, value in error.where.items()}
    return {"code": type(error).__name__, "what": error.what, "where": where, "todo": error.todo}
