"""The HNSW index of a model's vectors: built once they are there, since it makes storing them a hundred times slower.

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
MIN_VECTORS_FOR_INDEX = 20_000  # fewer are read in a tenth of a second
MAX_DIMS = {"vector": 2000, "halfvec": 4000}  # of an HNSW index
_BYTES_PER_DIM = {"vector": 4, "halfvec": 2}
_BYTES_PER_ROW = 400  # beside the numbers: the edges of the graph and the row itself
_MIN_MEMORY_KB, _MAX_MEMORY_KB = 65_536, 524_288  # of a build


def vector_type(model: Model) -> str:
    """Pgvector's type in which a model's vectors are compared and indexed."""
    return "halfvec" if model.options.half_precision else "vector"


def can_be_indexed(model: Model) -> bool:
    """Whether pgvector's index takes the model's number of dimensions."""
    return model.dims <= MAX_DIMS[vector_type(model)]


def is_indexed(connection: Connection, model: Model) -> bool:
    """Whether the model has a complete index."""
    return bool(fetch_value(connection, _SQL["index_state"], {"model_id": model.model_id}))


def index_vectors(connection: Connection, model: Model) -> int:
    """Build the index while workers and searches go on; return how many vectors it has. Not in a transaction.

    Raises UsageError for more dimensions than an index takes; psycopg's errors, with nothing left behind.
    """
    kind = vector_type(model)
    if not can_be_indexed(model):
        raise UsageError(
            f"an index takes {MAX_DIMS[kind]} dimensions of {kind}, model {model.model_id} has {model.dims}",
            todo="Searches are exact without one; a model with --half-precision may have up to 4000.",
        )
    count = count_vectors(connection, model)
    if is_indexed(connection, model):
        return count
    drop_index(connection, model)  # what an interrupted build left
    needed_kb = count * (model.dims * _BYTES_PER_DIM[kind] + _BYTES_PER_ROW) // 1024
    kilobytes = min(max(needed_kb, _MIN_MEMORY_KB), _MAX_MEMORY_KB)
    connection.execute(_SQL["set_build_memory"], {"kilobytes": kilobytes})
    try:
        _build(connection, model, kind)
    finally:
        if not connection.closed:
            connection.execute(_SQL["reset_build_memory"])
    return count


def _build(connection: Connection, model: Model, kind: str) -> None:
    statement = _SQL["make_index"].format(
        index=sql.Identifier(_index_name(model)),
        partition=model.partition,
        kind=sql.Identifier(kind),
        dims=sql.Literal(model.dims),
        operators=sql.Identifier(f"{kind}_cosine_ops"),
    )
    try:
        connection.execute(statement)
    except psycopg.errors.DiskFull:
        drop_index(connection, model)
        connection.execute(_SQL["disable_build_workers"])
        connection.execute(statement)
        connection.execute(_SQL["reset_build_workers"])


def drop_index(connection: Connection, model: Model) -> None:
    """Drop the index, for example before most vectors are replaced. Not in a transaction."""
    connection.execute(_SQL["drop_index"].format(index=sql.Identifier("core", _index_name(model))))


def index_if_worthwhile(connection: Connection, model: Model) -> bool:
    """Build the index of a model that has many vectors, no index and nothing waiting. Returns whether it did."""
    if not can_be_indexed(model) or is_indexed(connection, model) or not has_vectors(connection, model):
        return False
    if count_vectors(connection, model) < MIN_VECTORS_FOR_INDEX or coverage(connection, model).waiting:
        return False
    log.info("building the index of model %d (%s)", model.model_id, model.label)
    index_vectors(connection, model)
    return True


def count_vectors(connection: Connection, model: Model) -> int:
    """How many vectors a model has."""
    return fetch_value(connection, _SQL["count_vectors"], {"model_id": model.model_id})


def _index_name(model: Model) -> str:
    return f"item_embeddings_{model.model_id}_hnsw"
