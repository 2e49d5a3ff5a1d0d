"""A model with requests of its own, made without an ingest, and providers in this process to work on them."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import numpy as np
from psycopg.rows import dict_row

from ingest_project.embeddings.models import Model, get_model
from ingest_project.embeddings.providers import ProviderError, Vectors
from ingest_project.embeddings.queue import Limits, Queue
from ingest_project.embeddings.worker import EmbedOutcome, run_worker
from ingest_project.postgres.connection import Connection
from ingest_project.postgres.migrations import ensure_vectors

DIMS = 8
QUICK = Limits(batch_size=4, calls=1, lease_seconds=60, patience=0, grace=10)
_MODEL = """
insert into core.embedding_models (provider, model, version, dims, template, state)
values (%s, 'scripted', '1', %s, '{name,description}', 'filling') returning model_id"""
_ITEMS = """
with made as (
  insert into core.items (source_id, external_id, name, content_hash, embed_hash, priority, branch_id, activation_id,
                          created_activation_id, part)
  select %(branch)s, gen_random_uuid(), name, md5(name)::uuid, md5(name)::uuid, 0, %(branch)s, 1, 1, 0
    from unnest(%(names)s::text[]) with ordinality as given (name, n) order by n
  returning item_id, embed_hash)
insert into core.embedding_requests (model_id, item_id, branch_id, content_hash)
select %(model)s, item_id, %(branch)s, embed_hash from made returning item_id"""


def vector_of(text: str, dims: int = DIMS) -> list[float]:
    """What every scripted provider answers for a text."""
    return [float(1 + sum(text.encode()) * (at + 1) % 97) for at in range(dims)]


@dataclass
class Scripted:
    """Answers at once; before each answer, `act` may raise, wait, or replace what is answered."""

    act: Callable[[list[str]], Vectors | None] = lambda texts: None
    name: str = "scripted"
    model: str = "scripted"
    dims: int = DIMS
    tokens: int = 0
    calls: list[list[str]] = field(default_factory=list[list[str]])

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        answered = self.act(list(texts))
        self.tokens += len(texts)
        return np.array([vector_of(text) for text in texts], np.float32) if answered is None else answered

    @property
    def sent(self) -> Counter[str]:
        """How often each text was sent."""
        return Counter(text for call in self.calls for text in call)


@dataclass
class Raising:
    """An `act` that raises these, one per call, and then no more."""

    errors: list[ProviderError]

    def __call__(self, texts: list[str]) -> None:
        if self.errors:
            raise self.errors.pop(0)


@dataclass(frozen=True)
class Ledger:
    """One model of one test's own, and the branch whose items are embedded by it."""

    connection: Connection
    url: str
    model: Model
    branch_id: int

    def add(self, *names: str) -> list[int]:
        """Items with pending requests; their ids."""
        values = {"branch": self.branch_id, "names": list(names), "model": self.model.model_id}
        return [item_id for (item_id,) in self.connection.execute(_ITEMS, values).fetchall()]

    def change(self, item_id: int, name: str, *, derive: bool = True) -> None:
        """As an upsert does it; and its request renewed, as a derivation does that."""
        self.connection.execute(
            "update core.items set name = %s, embed_hash = md5(%s)::uuid where item_id = %s", (name, name, item_id)
        )
        if derive:
            self.renew(item_id)

    def renew(self, item_id: int) -> None:
        """What a derivation does for one item."""
        self.connection.execute(
            """update core.embedding_requests r
                  set content_hash = i.embed_hash, status = 'p', attempts = 0, next_attempt_at = now(), lease_id = null,
                      leased_until = null, completed_at = null
                 from core.items i
                where i.item_id = r.item_id and r.item_id = %s and r.content_hash <> i.embed_hash""",
            (item_id,),
        )

    def delete(self, item_id: int) -> None:
        """A tombstone; its request is left to whom it concerns."""
        self.connection.execute("update core.items set deleted_at = now() where item_id = %s", (item_id,))

    def queue(self, limits: Limits = QUICK) -> Queue:
        """The queue over this session."""
        return Queue(self.connection, self.model, limits)

    def work(self, provider: Any, stop: threading.Event | None = None, **limits: Any) -> EmbedOutcome:
        """Run a worker in this thread."""
        return run_worker(
            self.url,
            model_id=self.model.model_id,
            provider=provider,
            stop=stop,
            limits=replace(QUICK, **limits),
        )

    def requests(self) -> dict[int, dict[str, Any]]:
        """All requests of the model, by item."""
        query = "select *, status::text as status from core.embedding_requests where model_id = %s"
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return {row["item_id"]: row for row in cursor.execute(query, (self.model.model_id,)).fetchall()}

    def states(self) -> Counter[str]:
        """How many requests are in each state."""
        return Counter(row["status"] for row in self.requests().values())

    def vectors(self) -> dict[int, list[float]]:
        """What is stored, by item."""
        rows = self.connection.execute(
            "select item_id, embedding::real[] from core.item_embeddings where model_id = %s", (self.model.model_id,)
        ).fetchall()
        return dict(rows)

    def due_now(self) -> None:
        """Time passes: all waits and pauses are over."""
        self.connection.execute(
            "update core.embedding_requests set next_attempt_at = now() where model_id = %s and status = 'p'",
            (self.model.model_id,),
        )
        self.connection.execute(
            "update core.embedding_endpoints set paused_until = now() where endpoint = %s", (self.model.endpoint,)
        )

    def leases_run_out(self) -> None:
        """Time passes, and no worker is heard of."""
        self.connection.execute(
            """update core.embedding_requests set leased_until = now() - interval '1 second'
                where model_id = %s and status = 'l'""",
            (self.model.model_id,),
        )

    def untrue(self) -> list[int]:
        """Items whose stored vector is not that of the text for which it is acknowledged."""
        rows = self.connection.execute(
            """select e.item_id, i.name, e.embedding::real[]
                 from core.item_embeddings e join core.items i using (item_id)
                where e.model_id = %s and e.content_hash = i.embed_hash""",
            (self.model.model_id,),
        ).fetchall()
        return [item_id for item_id, name, found in rows if found != vector_of(name)]


def make_ledger(connection: Connection, url: str) -> Ledger:
    """A model and a branch that no other test knows."""
    row = connection.execute(_MODEL, (f"test {uuid4().hex[:12]}", DIMS)).fetchone()
    assert row
    ensure_vectors(connection)
    return Ledger(connection, url, get_model(connection, row[0]), uuid4().int % 2**31)
