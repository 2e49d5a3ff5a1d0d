"""The whole ledger against core.items: for the schedule, for a new model, and for `ingest verify`.

Deriving looks at what an activation changed; this looks at everything, in ranges of item ids, each a transaction of its
own. So it finds what no activation is to blame for: a line deleted by hand, an item that another branch took over, a
vector that is gone. Without `repair` it counts and writes nothing: the statements are the same.
"""

from dataclasses import dataclass, fields
from typing import Any

from ingest_project import failpoints
from ingest_project.embeddings.models import Model, has_vectors, working_models
from ingest_project.postgres import pulses, statements
from ingest_project.postgres.connection import Connection, fetch_value, retried
from ingest_project.telemetry import Progress, report
from ingest_project.upsert.id_ranges import RANGE_SIZE, id_ranges

_SQL = statements.load(__name__, "reconcile.sql")
# In this order: what is wanted is known before vectors are compared with it.
_OF_LEDGER = ("reconcile_unwanted", "reconcile_moved")
_OF_VECTORS = ("reconcile_orphans", "reconcile_lost", "reconcile_found")


@dataclass(frozen=True)
class Differences:
    """How the ledger differed from what is wanted, in requests; `orphans` in vectors.

    `missing`: items without one. `changed`: for an earlier text. `unwanted`: item deleted, branch not embedded, or
    model retired. `moved`: the item is another branch's by now. `lost`: done, without that vector. `found`: waiting,
    although its vector is there. `orphans`: vectors that no request stands for.
    """

    missing: int = 0
    changed: int = 0
    unwanted: int = 0
    moved: int = 0
    orphans: int = 0
    lost: int = 0
    found: int = 0

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


def reconcile(
    connection: Connection,
    *,
    repair: bool = True,
    branch_id: int | None = None,
    model: Model | None = None,
    size: int = RANGE_SIZE,
) -> Differences:
    """Compare the whole ledger, or a branch's or a model's part of it, and bring it to what is wanted.

    Any number may run at once, beside derivations and workers; each range waits for those under way.
    """
    models = working_models(connection) if model is None else [model]
    total = _of_retired(connection, repair=repair, branch_id=branch_id) if model is None else Differences()
    done = 0
    for after, upto in id_ranges(connection, size):
        for one in models:
            values = {"model_id": one.model_id, "after": after, "upto": upto, "repair": repair, "branch_id": branch_id}
            total += retried(lambda values=values, one=one: _reconcile_range(connection, one, values))
        failpoints.reach("range_reconciled")
        done += size
        report(Progress("reconcile", done))
    if repair and branch_id is None and model is None:
        pulses.beat(connection, "reconcile")
    return total


def _of_retired(connection: Connection, *, repair: bool, branch_id: int | None) -> Differences:
    return Differences(unwanted=_count(connection, "reconcile_retired", {"repair": repair, "branch_id": branch_id}))


def _reconcile_range(connection: Connection, model: Model, values: dict[str, Any]) -> Differences:
    with connection.transaction():
        if values["repair"]:
            connection.execute(_SQL["lock_sources"])
        looked = connection.execute(_SQL["where_to_look"]).fetchone()
        assert looked is not None
        values = {**values, "unembedded": looked[0]}
        row = connection.execute(_SQL["reconcile_wanted"], values).fetchone()
        assert row is not None
        asked = _OF_LEDGER if looked[1] else _OF_LEDGER[:1]
        asked += _OF_VECTORS if has_vectors(connection, model) else ()
        counts = {name.removeprefix("reconcile_"): _count(connection, name, values) for name in asked}
    return Differences(missing=row[0], changed=row[1], **counts)


def _count(connection: Connection, statement: str, values: dict[str, Any]) -> int:
    return fetch_value(connection, _SQL[statement], values)
