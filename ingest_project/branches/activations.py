"""Activations: one state of a branch's data on its way, ingested once.

requested → pinned → snapshotted → (blocked | accepted) → committed → done
                                      │        └ planned (a dry run's; let through by a run or by activate)
                                      └ back to where it was, once a person has accepted what blocked it
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
        """How its columns differ from those of the last time, unless its branch takes that silently."""
        found = self.drift or {}
        return [change["what"] for change in found.get("changes", []) if found["contract"] != "evolve"]

    def pinned_spec(self) -> BranchSpec:
        """The spec as it was when the source was pinned: a later change of the file does not reach into a run."""
        assert self.spec is not None, "pinned"
        return BranchSpec.model_validate(self.spec)


_COLUMNS = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(Activation))
_OF_A = sql.SQL(", ").join(sql.Identifier("a", field.name) for field in fields(Activation))
_SQL = {
    name: text.format(columns=_COLUMNS, a_columns=_OF_A)
    for name, text in statements.load(__name__, "activations.sql").items()
}


def _one(connection: Connection, statement: str, values: Mapping[str, object]) -> Activation | None:
    with connection.cursor(row_factory=class_row(Activation)) as cursor:
        return cursor.execute(_SQL[statement], values).fetchone()


def find(connection: Connection, branch_id: int, activation_id: int) -> Activation | None:
    """One activation of this branch, if it exists."""
    return _one(connection, "find_activation", {"branch_id": branch_id, "activation_id": activation_id})


def get(connection: Connection, branch_id: int, activation_id: int) -> Activation:
    """One activation of this branch. Raises ActivationUnknown."""
    found = find(connection, branch_id, activation_id)
    if found is None:
        raise ActivationUnknown(f"this branch has no activation {activation_id}", where={"activation": activation_id})
    return found


def open_one(connection: Connection, branch_id: int) -> Activation | None:
    """The activation of the branch that is not ended."""
    return _one(connection, "open_activation", {"branch_id": branch_id})


def newest(connection: Connection, branch_id: int, count: int = 10) -> list[Activation]:
    """The last activations of a branch, newest first."""
    with connection.cursor(row_factory=class_row(Activation)) as cursor:
        return cursor.execute(_SQL["newest_activations"], {"branch_id": branch_id, "count": count}).fetchall()


def needing_a_run(connection: Connection) -> list[tuple[str, int]]:
    """(branch, activation) of those that are open, asked for, and not worked on; oldest first."""
    return connection.execute(_SQL["needing_a_run"]).fetchall()  # pyright: ignore[reportReturnType]


def select_ready(
    connection: Connection, branch_id: int, *, holder: str, states: frozenset[str], wanted: int | None
) -> Activation:
    """What a step downstream of the snapshot works on: the wanted one, its run's own, or the newest that is ready.

    Raises ActivationUnknown where none is, ActivationClosed where the wanted one is closed.
    """
    if wanted is not None:
        found = get(connection, branch_id, wanted)
    else:
        found = _one(connection, "claimed_by_run", {"branch_id": branch_id, "holder": holder})
        if found is None or found.state not in states:
            values = {"branch_id": branch_id, "states": sorted(states)}
            found = _one(connection, "newest_in_state", values)
    if found is None:
        raise ActivationUnknown("no activation of this branch is ready for this step")
    if found.state not in states:
        raise ActivationClosed(
            f"activation {found.activation_id} is {found.state}; this step takes {', '.join(sorted(states))}",
            where={"activation": found.activation_id},
        )
    return found


def create(connection: Connection, branch_id: int, *, holder: str, plan_only: bool) -> Activation:
    """A new activation, claimed by the run that makes it; or the open one that somebody made meanwhile."""
    values = {"branch_id": branch_id, "holder": holder, "plan_only": plan_only}
    made = _one(connection, "create_activation", values)
    if made is None:
        return claim(connection, _present(open_one(connection, branch_id)), holder=holder, plan_only=plan_only)
    return made


def create_replay(connection: Connection, branch_id: int, *, holder: str) -> Activation:
    """A new activation for rows that were set aside; the branch has none open."""
    return _present(_one(connection, "create_replay", {"branch_id": branch_id, "holder": holder}))


def claim(connection: Connection, activation: Activation, *, holder: str, plan_only: bool) -> Activation:
    """Take an open activation on. A real run lets a planned one through. Raises Fenced where it is closed."""
    return _step(connection, "claim_activation", activation, holder=holder, plan_only=plan_only)


def rollback_of(connection: Connection, activation_id: int) -> Activation | None:
    """The rollback that undoes an activation, however far it is."""
    return _one(connection, "rollback_of", {"activation_id": activation_id})


def open_rollback(connection: Connection, branch_id: int) -> Activation | None:
    """A rollback of the branch that has begun and has not ended."""
    return _one(connection, "open_rollback", {"branch_id": branch_id})


def begin_rollback(
    connection: Connection, target: Activation, *, spec: BranchSpec, holder: str, items: int, plan: Mapping[str, Any]
) -> Activation:
    """Make the rollback of an activation, beside the line of its branch. Raises Fenced where another has made it."""
    return _step(
        connection,
        "begin_rollback",
        target,
        spec=Jsonb(spec.canonical()),
        holder=holder,
        items=items,
        plan=Jsonb(plan),
    )


def pin(connection: Connection, activation: Activation, spec: BranchSpec, pinned: Mapping[str, Any]) -> Activation:
    """Write down what is going to be read, and under which spec."""
    return _step(connection, "pin_activation", activation, pin=Jsonb(pinned), spec=Jsonb(spec.canonical()))


def pin_again(connection: Connection, activation: Activation, pinned: Mapping[str, Any]) -> Activation:
    """Write down another state that is going to be read instead, under the same spec."""
    return _step(connection, "pin_again", activation, pin=Jsonb(pinned))


def end_snapshot(
    connection: Connection, activation: Activation, sealed: Mapping[str, Any], rows_read: int
) -> Activation:
    """All pages are parts."""
    return _step(connection, "end_snapshot", activation, pin=Jsonb(sealed), rows_read=rows_read)


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
    """All parts are normalized; `blocked` says which limit was passed, if one was."""
    return _step(
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
    """Stop it at a gate; nothing of it goes on until that is accepted."""
    return _step(connection, "block_activation", activation, error=Jsonb(_as_json(error)))


def reopen_accepted(connection: Connection, activation: Activation) -> Activation:
    """Let a blocked one go on from where it was. Raises Fenced where it is not blocked any more."""
    return _step(connection, "reopen_accepted", activation)


def last_committed(connection: Connection, branch_id: int) -> Activation | None:
    """The newest of the branch that is in core, if any: what the next one is compared with."""
    return _one(connection, "last_committed", {"branch_id": branch_id})


def record_drift(connection: Connection, activation: Activation, drift: Mapping[str, Any]) -> Activation:
    """Keep how the source's columns differ from the last time."""
    return _step(connection, "keep_drift", activation, drift=Jsonb(drift))


def record_plan(connection: Connection, activation: Activation, plan: Mapping[str, Any]) -> Activation:
    """Keep what the upsert would do."""
    return _step(connection, "keep_plan", activation, plan=Jsonb(plan))


def commit(connection: Connection, activation: Activation, *, missing: int, tombstoned: int = 0) -> Activation:
    """All batches are in; older activations of the branch are superseded."""
    committed = _step(connection, "commit_activation", activation, missing=missing, tombstoned=tombstoned)
    if activation.kind == "ingest":
        values = {"branch_id": activation.branch_id, "activation_id": activation.activation_id}
        connection.execute(_SQL["supersede_older"], values)
    return committed


def reopen_repaired(connection: Connection, activation: Activation) -> None:
    """A repair changed items of a finished activation: its requests are to be derived again."""
    connection.execute(_SQL["reopen_repaired"], {"activation_id": activation.activation_id})


def add_requests(connection: Connection, activation: Activation, requests: int) -> Activation:
    """Count requests that the open transaction made, before the last one of them."""
    return _step(connection, "add_requests", activation, requests=requests)


def finish(connection: Connection, activation: Activation, *, requests: int) -> Activation:
    """Every item it changed has its request."""
    return _step(connection, "finish_activation", activation, requests=requests)


def close(
    connection: Connection,
    activation: Activation,
    state: Literal["refused", "failed", "superseded"],
    error: IngestError,
) -> Activation | None:
    """End it without ingesting it; None where it is committed already."""
    values = {"activation_id": activation.activation_id, "state": state, "error": Jsonb(_as_json(error))}
    return _one(connection, "close_activation", values)


def note_error(connection: Connection, activation: Activation, error: IngestError) -> None:
    """Keep why an attempt stopped, for `ingest status`; the activation stays where it is."""
    values = {"activation_id": activation.activation_id, "error": Jsonb(_as_json(error))}
    connection.execute(_SQL["note_error"], values)


def has_batches(connection: Connection, activation: Activation) -> bool:
    """Whether anything of it is in core already."""
    return bool(fetch_value(connection, _SQL["has_batches"], {"activation_id": activation.activation_id}))


def _step(connection: Connection, statement: str, activation: Activation, **values: object) -> Activation:
    return _present(_one(connection, statement, {"activation_id": activation.activation_id, **values}))


def _present(activation: Activation | None) -> Activation:
    # The state was another than the one this step starts from: somebody else moved it.
    if activation is None:
        raise Fenced("the activation was moved on by another run meanwhile; nothing was written")
    return activation


def _as_json(error: IngestError) -> dict[str, Any]:
    where = {key: str(value) for key, value in error.where.items()}
    return {"code": type(error).__name__, "what": error.what, "where": where, "todo": error.todo}
