"""Saved plans: applied exactly as saved, or refused with the reason where something has changed since.

A plan depends on the source and the spec as they were pinned, and on the live rows that it was compared with. The
live rows are remembered by a fingerprint.
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
LiveFingerprint = dict[str, str]
NO_LIVE_ROWS: LiveFingerprint = {"carried": "new", "missing": "new"}
_MOVED = {
    "carried": "rows that the plan would touch were changed, or made, since: by another activation, or by hand",
    "missing": "items of the branch that the plan does not carry came or went",
}


def fingerprint_live_rows(work: Work) -> LiveFingerprint:
    """The fingerprint of the live rows that the open transaction's probe table is compared with."""
    values = {"source_id": work.branch.source_id, "branch_id": work.branch.branch_id}
    row = work.connection.execute(_SQL["fingerprint_live_rows"], values).fetchone()
    assert row is not None
    return {"carried": row[0], "missing": row[1]}


def saved_plan_of(activation: Activation) -> Mapping[str, Any] | None:
    """What `--save` stored with the plan of an activation; None where nothing was saved."""
    return (activation.plan or {}).get("saved")


def find_saved_plan(connection: Connection, branch: Branch, plan: int) -> Activation:
    """The activation of a saved plan, as long as its source and its spec have not changed.

    Raises ActivationUnknown, UsageError where no plan was saved, ActivationClosed where it was applied, PlanMoved.
    """
    activation = activations.get(connection, branch.branch_id, plan)
    where: dict[str, object] = {"branch": branch.name, "plan": plan}
    if saved_plan_of(activation) is None:
        raise UsageError(
            f"activation {plan} has no saved plan", where=where, todo=f"`ingest plan {branch.name} --save` saves one."
        )
    if activation.state == "superseded":
        raise _moved(str((activation.error or {}).get("what", "another activation was ingested since")), where)
    if not activation.is_open or activation.committed_at:
        raise ActivationClosed(
            f"plan {plan} is {activation.state}: it is not applied again",
            where=where,
            todo=f"`ingest plan {branch.name} --save` plans what the branch holds now.",
        )
    if not activations.has_batches(connection, activation) and (why := moved_since(branch, activation)):
        raise _moved(why.what, where)
    return activation


def claim_planned(work: Work, live: LiveFingerprint) -> None:
    """Turn a planned activation into one that is ingested, if the live rows still are those of its plan.

    Raises PlanMoved, with nothing written.
    """
    saved = saved_plan_of(work.activation)
    expected: Mapping[str, str] = saved["live"] if saved else {}
    moved = [words for name, words in _MOVED.items() if expected.get(name) != live[name]]
    if moved:
        raise _moved("; ".join(moved), {**work.where, "plan": work.activation.activation_id})
    with work.transaction() as connection:
        activations.claim(connection, work.activation, holder=work.lease.holder, plan_only=False)


def refuse_deviation(work: Work, part: int, planned: Counts, counts: Counts) -> None:
    """Raise PlanMoved where a part comes out otherwise than planned; the part's transaction is undone by that."""
    if counts == planned:
        return
    number = work.activation.activation_id
    raise PlanMoved(
        "another activation changed rows of this plan while it was being applied: the part at hand was undone",
        where={**work.where, "plan": number, "part": part},
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
