"""Gates: a measure of an activation against a limit, kept in Postgres, and whether a person has accepted it.

An activation that fails a gate is blocked: nothing of it reaches core until each failed gate is accepted.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg import errors
from psycopg.rows import class_row

from ingest_project.branches import activations
from ingest_project.branches.activations import Activation
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationUnknown, GateBlocked, UsageError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "gates.sql")
_SETTINGS = {"freshness": "limits.max_age", "contract": "contract"}  # for all other gates: limits.max_CODE


@dataclass(frozen=True)
class Gate:
    """One measure and its limit, which it may exceed only if that is accepted; `what` describes the measure in words.

    Both are ratios from 0 to 1; but seconds for freshness, and a number of changes for the contract: there `what` is
    the whole message.
    """

    code: str
    measured: float
    limit: float
    what: str
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    why: str | None = None

    @property
    def passed(self) -> bool:
        return self.measured <= self.limit

    @property
    def blocks(self) -> bool:
        return not self.passed and self.accepted_at is None

    @property
    def setting(self) -> str:
        """The setting of the branch file that holds its limit."""
        return _SETTINGS.get(self.code) or f"limits.max_{self.code}"

    @property
    def figures(self) -> str:
        """Measure and limit on one short line."""
        if self.code in _SETTINGS:
            return self.what.partition(":\n")[0]
        return f"{self.measured:.1%} with a limit of {self.limit:.1%}"

    @property
    def message(self) -> str:
        """What was measured, and against which limit."""
        return self.what if self.code in _SETTINGS else f"{self.what}: {self.figures}"


def record(connection: Connection, activation_id: int, measured: Iterable[Gate]) -> list[Gate]:
    """Store the measures in the caller's transaction; returns the gates that block."""
    for gate in measured:
        values = {name: asdict(gate)[name] for name in ("code", "measured", "limit", "what")}
        connection.execute(_SQL["record_gate"], {"activation_id": activation_id, **values})
    return [gate for gate in gates_of(connection, activation_id) if gate.blocks]


def gates_of(connection: Connection, activation_id: int) -> list[Gate]:
    """The gates of an activation measured so far, by code."""
    with connection.cursor(row_factory=class_row(Gate)) as cursor:
        return cursor.execute(_SQL["gates_of"], {"activation_id": activation_id}).fetchall()


def blocking_error(work: Work, failed: Sequence[Gate]) -> GateBlocked | None:
    """The error for these gates: the measures, the limits, and what to do; None if there are none."""
    return _error(work.branch.name, work.activation.activation_id, failed) if failed else None


def pass_or_block(work: Work, measured: Iterable[Gate]) -> None:
    """Store the measures, and block the activation if a limit is exceeded. Raises GateBlocked."""
    with work.transaction() as connection:
        error = blocking_error(work, record(connection, work.activation.activation_id, measured))
        if error:
            activations.block(connection, work.activation, error)
    if error:
        raise error


def refuse_blocked(connection: Connection, branch: str, activation: Activation) -> None:
    """Raise GateBlocked if the activation is blocked."""
    if activation.state == "blocked":
        blocking = [gate for gate in gates_of(connection, activation.activation_id) if gate.blocks]
        raise _error(branch, activation.activation_id, blocking)


def _error(branch: str, activation_id: int, failed: Sequence[Gate]) -> GateBlocked:
    codes = " ".join(gate.code for gate in failed)
    settings = " and ".join(gate.setting for gate in failed)
    return GateBlocked(
        "; ".join(gate.message for gate in failed) or None,
        where={"branch": branch, "activation": activation_id, "gate": codes},
        todo=f"Mend the source, or change {settings} in the branch file and apply it; then run again. To take it as it "
        f"is: `ingest accept {activation_id} {codes} --why '...'`, then `ingest run {shlex.quote(branch)}`.",
    )


def accept(connection: Connection, activation_id: int, codes: Sequence[str], *, why: str, who: str) -> Activation:
    """Accept these gates; the activation continues once every gate has passed or is accepted.

    Raises ActivationUnknown, UsageError.
    """
    with connection.transaction():
        activation = _lock_blocked(connection, activation_id)
        blocking = [gate.code for gate in gates_of(connection, activation_id) if gate.blocks]
        unknown = [code for code in codes if code not in blocking]
        if unknown:
            raise UsageError(
                f"no gate {', '.join(unknown)} blocks activation {activation_id}",
                todo=f"These do: {', '.join(blocking)}.",
            )
        for code in codes:
            values = {"activation_id": activation_id, "code": code, "why": why, "who": who}
            connection.execute(_SQL["accept_gate"], values)
        if set(blocking) - set(codes):
            return activation
        return _reopen(connection, activation)


def _lock_blocked(connection: Connection, activation_id: int) -> Activation:
    row = connection.execute(_SQL["lock_activation"], {"activation_id": activation_id}).fetchone()
    if row is None:
        raise ActivationUnknown(f"there is no activation {activation_id}", where={"activation": activation_id})
    branch_id, branch = row
    activation = activations.get(connection, branch_id, activation_id)
    if activation.state != "blocked":
        raise UsageError(
            f"activation {activation_id} is {activation.state}, not blocked: there is nothing to accept",
            where={"branch": branch},
            todo=f"`ingest status {shlex.quote(branch)}` shows the activations of its branch, and what to run.",
        )
    return activation


def _reopen(connection: Connection, activation: Activation) -> Activation:
    try:
        with connection.transaction():
            return activations.reopen_accepted(connection, activation)
    except errors.UniqueViolation:
        other = activations.find_open(connection, activation.branch_id)
        raise UsageError(
            f"activation {activation.activation_id} stays blocked: another one of its branch is open"
            + (f", {other.activation_id}, {other.state}" if other else ""),
            todo="Let the other one end first (`ingest status`); where it is ingested, this one is in the past.",
        ) from None
