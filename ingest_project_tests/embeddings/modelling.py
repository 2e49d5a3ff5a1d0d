"""Models beside the first one, and the vectors of a worker that does nothing but that."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest_project.embeddings.models import Model, ModelOptions, ModelSpec, add_model
from ingest_project.embeddings.reconcile import Differences, reconcile
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.conftest import _database
from ingest_project_tests.upsert.making import Source

DIMS = 8
# A vector that is made of the item's number, in a direction of its own.
STORE = """
insert into core.item_embeddings (model_id, item_id, content_hash, embedding)
select r.model_id, r.item_id, r.content_hash,
       (select array_agg(sin(r.item_id * g) order by g)::vector from generate_series(1, m.dims) g)
  from core.embedding_requests r join core.embedding_models m using (model_id)
 where r.model_id = %(model_id)s and r.status in ('p', 'l')
on conflict (model_id, item_id) do update set content_hash = excluded.content_hash, embedding = excluded.embedding"""
ACKNOWLEDGE = """
update core.embedding_requests set status = 'd', completed_at = now(), lease_id = null, leased_until = null
 where model_id = %(model_id)s and status in ('p', 'l')"""
# What the ledger should say, from the items alone: the definition that everything else is held against.
WANTED = """
select m.model_id, i.item_id, i.branch_id, i.embed_hash
  from core.items i join ingest.branches b using (branch_id)
 cross join core.embedding_models m
 where i.deleted_at is null and (b.spec ->> 'embed')::boolean and m.state in ('active', 'filling')"""
LEDGER = "select model_id, item_id, branch_id, content_hash from core.embedding_requests"
TRUE_VECTORS = """
select e.model_id, e.item_id, e.content_hash from core.item_embeddings e
  join core.embedding_models m using (model_id) where m.state in ('active', 'filling')"""
DONE = "select model_id, item_id, content_hash from core.embedding_requests where status = 'd'"


def declared(name: str = "test", **given: Any) -> ModelSpec:
    """A small model of a provider that nobody asks."""
    options = ModelOptions(**given.pop("options", {}))
    return ModelSpec(**{"provider": "openai", "model": name, "dims": DIMS, "options": options, **given})


def added(connection: Connection, name: str = "test", **given: Any) -> Model:
    """A model with its requests, as `ingest model add` makes it."""
    model, _ = add_model(connection, declared(name, **given))
    reconcile(connection, model=model)
    return model


def embed(connection: Connection, model: Model) -> None:
    """As a worker that is done with everything."""
    with connection.transaction():
        connection.execute(STORE, {"model_id": model.model_id})
        connection.execute(ACKNOWLEDGE, {"model_id": model.model_id})


def told(connection: Connection, query: str) -> set[tuple[Any, ...]]:
    """The rows of a query."""
    return set(connection.execute(query.encode()).fetchall())


def assert_true(connection: Connection) -> None:
    """The ledger is what the items want, no vector is without its request, and a second look finds nothing."""
    assert told(connection, LEDGER) == told(connection, WANTED)
    assert told(connection, DONE) <= told(connection, TRUE_VECTORS)
    asked_for = {row[:2] for row in told(connection, LEDGER)}
    assert {row[:2] for row in told(connection, TRUE_VECTORS)} <= asked_for
    assert reconcile(connection) == Differences()


@pytest.fixture(scope="module")
def shared(server: str, template: str) -> Iterator[Connection]:
    """A database of the module: the ledger is compared as a whole."""
    with _database(server, "ledger", template) as url, session(url) as opened:
        yield opened


@pytest.fixture
def alone(shared: Connection) -> Source:
    """A new source in it, and nothing else but the first model."""
    empty(shared)
    return Source(shared)


def empty(connection: Connection) -> None:
    """As after a migration, but for branches that have no items."""
    for table in ("core.items", "core.embedding_requests", "core.item_embeddings"):
        connection.execute(f"delete from {table}".encode())
    connection.execute("delete from core.embedding_models where provider <> 'builtin'")
    connection.execute("update core.embedding_models set state = 'active', retired_at = null")
