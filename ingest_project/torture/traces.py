"""What a source left in the tables, by natural key; and how to take it away again."""

from dataclasses import dataclass

from ingest_project.extract.store import PartStore
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "torture.sql")
TABLES = ("items_of", "versions_of", "rejects_of", "batches_of", "requests_of", "activations_of")
_FORGOTTEN = (
    *(
        "forget_requests",
        "forget_items",
        "forget_versions",
        "forget_gates",
        "forget_profiles",
        "forget_rejects",
        "forget_batches",
        "forget_parts",
    ),
    *("forget_activations", "forget_leases", "forget_branches", "forget_source"),
)


@dataclass(frozen=True)
class Trace:
    """Digest and number of rows of one table, as far as they are this source's."""

    digest: str | None
    rows: int


def traces(connection: Connection, source: str) -> dict[str, Trace]:
    """Table to what this source left there; equal for two sources that were given the same."""
    found: dict[str, Trace] = {}
    for name in TABLES:
        row = connection.execute(_SQL[name], {"source": source}).fetchone()
        assert row is not None, "an aggregate"
        found[name.removesuffix("_of")] = Trace(*row)
    return found


def states_done(connection: Connection, source: str) -> int:
    """How many states of its data this source's branch has brought to their end."""
    return fetch_value(connection, _SQL["states_done"], {"source": source})


def forget(connection: Connection, store: PartStore, source: str) -> None:
    """Take away all that a source left, parts included."""
    row = connection.execute(_SQL["numbers_of"], {"source": source}).fetchone()
    branches, activations = row if row else (None, None)
    branches, activations = (branches or []), (activations or [])
    values = {"source": source, "branches": branches, "activations": activations}
    with connection.transaction():
        for name in _FORGOTTEN:
            connection.execute(_SQL[name], values)
    for branch_id in branches:
        for activation_id in activations:
            store.drop(branch_id, activation_id)
