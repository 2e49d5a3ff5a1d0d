"""Reconciling the whole ledger with core.items: for the nightly schedule, for a new model, and for `ingest verify`.

A derivation looks at what one activation changed. This looks at everything, in ranges of item ids, each in a
transaction of its own, and so finds what no derivation can: a request deleted by hand, an item that another branch has
taken over, a lost vector. Without `repair` the same statements only count.
"""

from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

from ingest_project import failpoints
from ingest_project.embeddings.models import Model, has_vectors, working_models
from ingest_project.postgres import pulses, statements
from ingest_project.postgres.connection import Connection, fetch_value, retried
from ingest_project.telemetry import Progress, report
from ingest_project.upsert.id_ranges import RANGE_SIZE, id_ranges

_SQL = statements.load(__name__, "reconcile.sql")
# In this order: vectors are compared with the requests, so these come first.
_LEDGER_STATEMENTS = ("reconcile_unwanted", "reconcile_moved")
_VECTOR_STATEMENTS = ("reconcile_orphans", "reconcile_lost", "reconcile_found")


@dataclass(frozen=True)
class Differences:
    """How the ledger differed from what is wanted, in numbers of requests; `orphans` in vectors.

    `missing`: an item has none. `changed`: it is for an earlier text. `unwanted`: the item is deleted, its branch not
    embedded, or the model retired. `moved`: another branch owns the item by now. `lost`: done, but the vector is
    missing. `found`: waiting, although the vector exists. `orphans`: vectors without a request.
    """

    missing: int = 0
    changed: int = 0
    unwanted: int = 0
    moved: int = 0
    orphans: int = 0
    lost: int = 0
    found: int = 0

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __bool__(self) -> bool:
        return any(astuple(self))


def reconcile(
    connection: Connection,
    *,
    repair: bool = True,
    branch_id: int | None = None,
    model: Model | None = None,
    size: int = RANGE_SIZE,
) -> Differences:
    """Compare the ledger, or the part of it for one branch or model, with what is wanted, and repair it.

    Several may run at once, beside derivations and workers; each range waits for the derivations under way.
    """
    models = working_models(connection) if model is None else [model]
    total, done = Differences(), 0
    if model is None:
        retired = {"repair": repair, "branch_id": branch_id}
        total = Differences(unwanted=fetch_value(connection, _SQL["reconcile_retired"], retired))
    for after, upto in id_ranges(connection, size):
        for working in models:
            values = {"after": after, "upto": upto, "repair": repair, "branch_id": branch_id}
            total += retried(partial(_reconcile_range, connection, working, values))
        failpoints.reach("range_reconciled")
        done += size
        report(Progress("reconcile", done))
    if repair and branch_id is None and model is None:
        pulses.beat(connection, "reconcile")
    return total


def _reconcile_range(connection: Connection, model: Model, values: dict[str, Any]) -> Differences:
    with connection.transaction():
        if values["repair"]:
            connection.execute(_SQL["lock_sources"])
        scope = connection.execute(_SQL["reconcile_scope"]).fetchone()
        assert scope is not None, "an aggregate"
        unembedded, sources_are_shared = scope
        values = {**values, "model_id": model.model_id, "unembedded": unembedded}
        wanted = connection.execute(_SQL["reconcile_wanted"], values).fetchone()
        assert wanted is not None, "an aggregate"
        names = _LEDGER_STATEMENTS if sources_are_shared else _LEDGER_STATEMENTS[:1]
        names += _VECTOR_STATEMENTS if has_vectors(connection, model) else ()
        counts = {name.removeprefix("reconcile_"): fetch_value(connection, _SQL[name], values) for name in names}
    return Differences(missing=wanted[0], changed=wanted[1], **counts)
