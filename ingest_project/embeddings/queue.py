"""The ledger as a queue: requests leased, and every way in which a lease ends. No transaction outlives a call.

A lease is fenced by its id: whatever a worker says after it lost one changes nothing.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from ingest_project import failpoints
from ingest_project.embeddings.models import Model
from ingest_project.embeddings.providers import ProviderError, Vectors
from ingest_project.embeddings.text import BYTES_PER_TOKEN, text_of
from ingest_project.errors import VectorsMissing
from ingest_project.postgres import statements
from ingest_project.postgres.arrays import BinaryArray, binary_array
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.postgres.migrations import ensure_vectors
from ingest_project.settings import settings
from ingest_project.telemetry import correlation_id

_SQL = statements.load(__name__, "queue.sql")
FIRST_WAIT, LONGEST_WAIT = 2.0, 600.0  # seconds before the next attempt of a batch
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds in which an endpoint is left alone
LONGEST_ERROR = 2000
Cursor = tuple[datetime | str, int]
FROM_THE_START: Cursor = ("-infinity", 0)
_BIGINT, _TID, _UUID = 20, 27, 2950  # by number, as Postgres has them


@dataclass(frozen=True)
class Limits:
    """How much at once, how long, how often. `patience`: seconds that a run waits for what is not due yet."""

    count: int = 500
    tokens: int = 100_000
    calls: int = 4
    attempts: int = 10
    lease_seconds: float = 60.0
    patience: float = 75.0
    grace: float = 5.0
    limit: int | None = None


def chosen_limits() -> Limits:
    """Those of this deployment's settings."""
    chosen = settings()
    return Limits(
        count=chosen.embed_batch_size,
        tokens=chosen.embed_batch_tokens,
        calls=chosen.embed_calls,
        attempts=chosen.embed_attempts,
        lease_seconds=chosen.lease_seconds,
    )


@dataclass(frozen=True)
class Claim:
    """Requests leased together; lists of equal length, in the order of the queue."""

    lease_id: UUID
    item_ids: list[int]
    hashes: list[bytes]
    texts: list[str]
    places: list[bytes]  # of the requests in the ledger's table, until a lease is renewed
    attempts: int  # the most that one of them has behind it
    after: Cursor

    def __len__(self) -> int:
        return len(self.item_ids)


class Queue:
    """The requests of one model, over one session in autocommit."""

    def __init__(self, connection: Connection, model: Model, limits: Limits) -> None:
        self._connection = connection
        self._model = model
        self._limits = limits
        self._vectors_are = 0  # not asked for yet
        self._claim = _SQL["claim"].format(text=text_of(model.template))

    def claim(self, branch_id: int, after: Cursor, count: int) -> Claim | None:
        """Lease up to `count` requests of a branch that are due, after the cursor; None where there are none."""
        lease_id = uuid4()
        values = self._values(
            branch_id=branch_id,
            after=after[0],
            after_item=after[1],
            count=count,
            tokens=self._limits.tokens,
            bytes_per_token=BYTES_PER_TOKEN,
            lease_id=lease_id,
            lease_seconds=self._limits.lease_seconds,
            run_id=correlation_id(),
        )
        rows = self._connection.execute(self._claim, values, binary=True).fetchall()
        if not rows:
            return None
        item_ids, hashes, texts, attempts, due, places = map(list, zip(*rows, strict=True))
        return Claim(lease_id, item_ids, hashes, texts, places, max(attempts), (due[-1], item_ids[-1]))

    def complete(self, claim: Claim, positions: Sequence[int], vectors: Vectors) -> int:
        """Store vectors of these positions and acknowledge them; how many, the rest was stale."""
        stored = self._complete(claim, positions, vectors)
        if stored < len(positions):
            stored += self._complete_moved(claim, positions, vectors)
        failpoints.reach("vectors_committed")
        return stored

    def _complete(self, claim: Claim, positions: Sequence[int], vectors: Vectors) -> int:
        values = self._values(lease_id=claim.lease_id, **_arrays(claim, positions, vectors, self._vector_type()))
        return fetch_value(self._connection, _SQL["complete"], values)

    def _complete_moved(self, claim: Claim, positions: Sequence[int], vectors: Vectors) -> int:
        item_ids = [claim.item_ids[at] for at in positions]
        values = self._values(lease_id=claim.lease_id, item_ids=item_ids)
        found = dict(self._connection.execute(_SQL["find_again"], values, binary=True).fetchall())
        moved = [at for at, item_id in enumerate(item_ids) if item_id in found]
        if not moved:
            return 0
        places = [found.get(item_id, place) for item_id, place in zip(claim.item_ids, claim.places, strict=True)]
        return self._complete(replace(claim, places=places), [positions[at] for at in moved], vectors[moved])

    def _vector_type(self) -> int:
        if not self._vectors_are:
            self._vectors_are = fetch_value(self._connection, _SQL["vector_type"])
        return self._vectors_are

    def fail(self, claim: Claim, positions: Sequence[int], error: ProviderError) -> int:
        """Charge an attempt; how many are dead now."""
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, keeps no secret
        waits = {"first": FIRST_WAIT, "longest": LONGEST_WAIT, "jitter": jitter, "attempts": self._limits.attempts}
        return self._end("fail", claim, positions, error, **waits)

    def bury(self, claim: Claim, positions: Sequence[int], error: ProviderError) -> int:
        """No further attempt; how many are dead now."""
        return self._end("bury", claim, positions, error)

    def defer(self, claim: Claim, positions: Sequence[int], error: ProviderError, seconds: float) -> None:
        """Due again in so many seconds, without charge."""
        self._end("defer", claim, positions, error, seconds=seconds)

    def _end(self, how: str, claim: Claim, positions: Sequence[int], error: ProviderError, **values: object) -> int:
        told = {"error_class": error.error_class, "error": str(error).replace("\0", "")[:LONGEST_ERROR]}
        item_ids = [claim.item_ids[at] for at in positions]
        whole = self._values(lease_id=claim.lease_id, item_ids=item_ids, **told, **values)
        return sum(dead for (dead,) in self._connection.execute(_SQL[how], whole).fetchall())

    def release(self, claim: Claim, positions: Sequence[int] | None = None) -> None:
        """Hand back what a claim still holds of these positions, or all of it, as it was taken."""
        kept = range(len(claim)) if positions is None else positions
        self._execute("release", lease_id=claim.lease_id, item_ids=[claim.item_ids[at] for at in kept])

    def renew(self, claim: Claim) -> None:
        """Keep a lease for as long again."""
        self._execute(
            "renew", lease_id=claim.lease_id, item_ids=claim.item_ids, lease_seconds=self._limits.lease_seconds
        )

    def rescue(self) -> int:
        """Take back what workers hold who were not heard of in time, of any model; how many."""
        return self._execute("rescue", attempts=self._limits.attempts)

    def pause(self, error: ProviderError, seconds: float | None) -> float:
        """Let all workers of the endpoint wait, as long as it asked for where it did; how many seconds from now."""
        waits = {"seconds": seconds, "first": FIRST_PAUSE, "longest": LONGEST_PAUSE}
        return fetch_value(self._connection, _SQL["pause"], self._values(reason=str(error)[:LONGEST_ERROR], **waits))

    def unpause(self) -> None:
        """It answered: the next pause is a first one again."""
        self._execute("unpause")

    def branches(self) -> list[int]:
        """Ids of the branches that have pending requests."""
        return [branch for (branch,) in self._connection.execute(_SQL["pending_branches"], self._values()).fetchall()]

    def next_due(self, branch_id: int | None) -> float | None:
        """Seconds until there may be something to claim or to rescue; None where nothing waits."""
        branches = self.branches() if branch_id is None else [branch_id]
        values = self._values(branches=branches, branch_id=branch_id)
        due = fetch_value(self._connection, _SQL["next_due"], values)
        return None if due is None else max(due, 0.0)

    def _execute(self, name: str, **values: object) -> int:
        return self._connection.execute(_SQL[name], self._values(**values)).rowcount

    def _values(self, **values: object) -> dict[str, Any]:
        return {"model_id": self._model.model_id, "endpoint": self._model.endpoint, **values}


def _arrays(claim: Claim, positions: Sequence[int], vectors: Vectors, vector_type: int) -> dict[str, BinaryArray]:
    """Places, ids, hashes and vectors as arrays that Postgres reads as they are: no loop over numbers."""
    dims = vectors.shape[1]
    numbered = np.zeros(len(positions), np.dtype([("dims", ">i2"), ("unused", ">i2"), ("values", ">f4", (dims,))]))
    numbered["dims"], numbered["values"] = dims, vectors
    ids = np.fromiter((claim.item_ids[at] for at in positions), ">i8", len(positions))
    hashes = np.frombuffer(b"".join(claim.hashes[at] for at in positions), "V16")
    places = np.frombuffer(b"".join(claim.places[at] for at in positions), "V6")
    return {
        "places": binary_array(places, _TID),
        "item_ids": binary_array(ids, _BIGINT),
        "hashes": binary_array(hashes, _UUID),
        "vectors": binary_array(numbered, vector_type),
    }


def require_vectors(connection: Connection) -> None:
    """See to it that vectors can be stored. Raises VectorsMissing with the DBA's command."""
    if not ensure_vectors(connection):
        raise VectorsMissing(where={"database": connection.info.dbname})


@dataclass(frozen=True)
class Estimate:
    """What waits for a model: `tokens` from a sample of the texts, `usd` where the model declares its price."""

    items: int
    tokens: int
    usd: float | None
    next_attempt_at: datetime | None


def estimate(connection: Connection, model: Model, branch_id: int | None = None) -> Estimate:
    """What it takes to embed all that is pending."""
    values = {"model_id": model.model_id, "branch_id": branch_id}
    counted = connection.execute(_SQL["count_pending"], values).fetchone()
    sampled = connection.execute(_SQL["sample_bytes"].format(text=text_of(model.template)), values).fetchone()
    assert counted is not None
    assert sampled is not None
    tokens = round(counted[0] * (sampled[0] / BYTES_PER_TOKEN))
    return Estimate(counted[0], tokens, model.price_of(tokens), counted[1])


def retry_dead(connection: Connection, branch_id: int | None = None, error_class: str | None = None) -> int:
    """Give dead requests their attempts again; how many."""
    return connection.execute(_SQL["retry_dead"], {"branch_id": branch_id, "error_class": error_class}).rowcount
