"""The traces of a source in the tables, compared by natural key, and their removal."""

from dataclasses import dataclass

from ingest_project.extract.store import PartStore
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "torture.sql")
TABLES = ("items_of", "versions_of", "rejects_of", "batches_of", "requests_of", "activations_of")
_FORGET = (
    "forget_requests",
    "forget_items",
    "forget_versions",
    "forget_gates",
    "forget_profiles",
    "forget_rejects",
    "forget_batches",
    "forget_parts",
    "forget_activations",
    "forget_leases",
    "forget_branches",
    "forget_source",
)


@dataclass(frozen=True)
class Trace:
    """Digest and number of a source's rows in one table."""

    digest: str | None
    rows: int


def traces(connection: Connection, source: str) -> dict[str, Trace]:
    """The traces of a source by table; equal for two sources that were given the same data."""
    by_table: dict[str, Trace] = {}
    for name in TABLES:
        row = connection.execute(_SQL[name], {"source": source}).fetchone()
        assert row is not None, "an aggregate"
        by_table[name.removesuffix("_of")] = Trace(*row)
    return by_table


def states_done(connection: Connection, source: str) -> int:
    """How many activations of this source are done."""
    return fetch_value(connection, _SQL["states_done"], {"source": source})


def forget(connection: Connection, store: PartStore, source: str) -> None:
    """Delete all that a source has left, parts included."""
    row = connection.execute(_SQL["ids_of"], {"source": source}).fetchone()
    branches, activations = row if row else (None, None)
    branches, activations = (branches or []), (activations or [])
    values = {"source": source, "branches": branches, "activations": activations}
    with connection.transaction():
        for name in _FORGET:
            connection.execute(_SQL[name], values)
    for branch_id in branches:
        for activation_id in activations:
            store.drop(branch_id, activation_id)
