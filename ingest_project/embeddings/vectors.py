"""The index over a model's vectors: built once they are there, since it slows storing them down by two orders.

Without it a search reads all vectors, and is exact; with it a search reads hundreds, and finds nearly all of the
nearest.
"""

import psycopg
from psycopg import sql

from ingest_project.embeddings.models import Model, coverage, has_vectors
from ingest_project.errors import UsageError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "vectors.sql")
WORTH_AN_INDEX = 20_000  # vectors: below, reading all of them takes a tenth of a second
MOST_DIMS = {"vector": 2000, "halfvec": 4000}  # of an HNSW index
_BYTES = {"vector": 4, "halfvec": 2}
_MEMORY_KB = (65_536, 524_288)  # of a build, at least and at most
_EDGES = 400  # bytes of a vector's edges and its row


def stored_as(model: Model) -> str:
    """The type in which a model's vectors are compared."""
    return "halfvec" if model.options.half_precision else "vector"


def can_be_indexed(model: Model) -> bool:
    """Whether pgvector's index takes as many dimensions."""
    return model.dims <= MOST_DIMS[stored_as(model)]


def is_indexed(connection: Connection, model: Model) -> bool:
    """Whether the model's index is there and whole."""
    return bool(fetch_value(connection, _SQL["index_state"], {"model_id": model.model_id}))


def index_vectors(connection: Connection, model: Model) -> int:
    """Build the index, while workers and searches go on; how many vectors it holds. Outside a transaction.

    Raises UsageError for more dimensions than an index takes; psycopg's errors, with nothing left behind.
    """
    kind = stored_as(model)
    if not can_be_indexed(model):
        raise UsageError(
            f"an index takes {MOST_DIMS[kind]} dimensions of {kind}, model {model.model_id} has {model.dims}",
            todo="Searches are exact without one; a model with --half-precision may have up to 4000.",
        )
    count = count_vectors(connection, model)
    if is_indexed(connection, model):
        return count
    drop_index(connection, model)  # what an interrupted build left
    needed = count * (model.dims * _BYTES[kind] + _EDGES) // 1024
    connection.execute(_SQL["build_settings"], {"kilobytes": min(max(needed, _MEMORY_KB[0]), _MEMORY_KB[1])})
    try:
        _build(connection, model, kind)
    finally:
        if not connection.closed:
            connection.execute(_SQL["reset_settings"])
    return count


def _build(connection: Connection, model: Model, kind: str) -> None:
    statement = _SQL["make_index"].format(
        index=sql.Identifier(_index(model)),
        partition=model.partition,
        kind=sql.Identifier(kind),
        dims=sql.Literal(model.dims),
        operators=sql.Identifier(f"{kind}_cosine_ops"),
    )
    try:
        connection.execute(statement)
    except psycopg.errors.DiskFull:
        drop_index(connection, model)
        connection.execute(_SQL["build_alone"])
        connection.execute(statement)
        connection.execute(_SQL["reset_workers"])


def drop_index(connection: Connection, model: Model) -> None:
    """Take the index away, for example before most vectors are replaced. Outside a transaction."""
    connection.execute(_SQL["drop_index"].format(index=sql.Identifier("core", _index(model))))


def index_where_it_pays(connection: Connection, model: Model) -> bool:
    """Build the index of a model that is filled, has many vectors and none yet; whether it did."""
    if not can_be_indexed(model) or is_indexed(connection, model) or not has_vectors(connection, model):
        return False
    if count_vectors(connection, model) < WORTH_AN_INDEX or coverage(connection, model).waiting:
        return False
    log.info("building the index of model %d (%s)", model.model_id, model.label)
    index_vectors(connection, model)
    return True


def count_vectors(connection: Connection, model: Model) -> int:
    """How many vectors a model has."""
    return fetch_value(connection, _SQL["count_vectors"], {"model_id": model.model_id})


def _index(model: Model) -> str:
    return f"item_embeddings_{model.model_id}_hnsw"
