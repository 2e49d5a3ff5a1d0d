"""A plan that was saved: applied exactly, or refused because something moved since, saying what.

What a plan stands on is the source and the spec as they were pinned, and the live rows that it was judged against.
"""

from collections.abc import Mapping
from typing import Any

from ingest_project.branches import activations
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationClosed, PlanMoved, UsageError
from ingest_project.extract.snapshot import moved_since
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.upsert.counts import Counts

_SQL = statements.load(__name__, "saved_plan.sql")
Live = dict[str, str]
NO_ROWS: Live = {"carried": "new", "missing": "new"}
_MOVED = {
    "carried": "rows that the plan would touch were changed, or made, since: by another activation, or by hand",
    "missing": "items of the branch that the plan does not carry came or went",
}


def live_rows(work: Work) -> Live:
    """The fingerprint of the live rows that the probe table of the open transaction is judged against."""
    values = {"source_id": work.branch.source_id, "branch_id": work.branch.branch_id}
    row = work.connection.execute(_SQL["live_rows"], values).fetchone()
    assert row is not None
    return {"carried": row[0], "missing": row[1]}


def saved_in(activation: Activation) -> Mapping[str, Any] | None:
    """What was saved of the plan of an activation."""
    return (activation.plan or {}).get("saved")


def planned(connection: Connection, branch: Branch, plan: int) -> Activation:
    """The activation of a saved plan, for as long as its source and its spec are as they were.

    Raises ActivationUnknown, UsageError where none was saved, ActivationClosed where it was applied, PlanMoved.
    """
    found = activations.get(connection, branch.branch_id, plan)
    where: dict[str, object] = {"branch": branch.name, "plan": plan}
    if saved_in(found) is None:
        raise UsageError(
            f"activation {plan} has no saved plan", where=where, todo=f"`ingest plan {branch.name} --save` saves one."
        )
    if found.state == "superseded":
        raise _moved(str((found.error or {}).get("what", "another activation was ingested since")), where)
    if not found.is_open or found.committed_at:
        raise ActivationClosed(
            f"plan {plan} is {found.state}: it is not applied again",
            where=where,
            todo=f"`ingest plan {branch.name} --save` plans what the branch holds now.",
        )
    if not activations.has_batches(connection, found) and (why := moved_since(branch, found)):
        raise _moved(why.what, where)
    return found


def let_through(work: Work, live: Live) -> None:
    """Make a planned activation one that is ingested, where the live rows are still those of its plan.

    Raises PlanMoved, with nothing written.
    """
    saved = saved_in(work.activation)
    known: Mapping[str, str] = saved["live"] if saved else {}
    moved = [words for name, words in _MOVED.items() if known.get(name) != live[name]]
    if moved:
        raise _moved("; ".join(moved), {**work.place, "plan": work.activation.activation_id})
    with work.transaction() as connection:
        activations.claim(connection, work.activation, holder=work.lease.holder, plan_only=False)


def refuse_other(work: Work, part: int, expected: Counts, counts: Counts) -> None:
    """Within a part's transaction: what happens to it must be what was planned. Raises PlanMoved, undoing the part."""
    if counts == expected:
        return
    number = work.activation.activation_id
    raise PlanMoved(
        "another activation changed rows of this plan while it was being applied: the part at hand was undone",
        where={**work.place, "plan": number, "part": part},
        todo=f"Parts before it are in core. `ingest rollback {number}` undoes them; `ingest run {work.branch.name}` "
        "goes on, judging each row as it is now.",
    )


def _moved(what: str, where: dict[str, object]) -> PlanMoved:
    name = where["branch"]
    return PlanMoved(
        f"the plan is not applied: {what}",
        where=where,
        todo=f"Nothing was written. `ingest plan {name} --save` plans again; `ingest run {name}` ingests without one.",
    )
