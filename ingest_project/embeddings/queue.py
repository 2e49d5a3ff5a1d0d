"""The ledger as a queue: requests are leased, then completed, failed or released. No transaction outlives a call.

A lease is fenced by its id: a worker that has lost its lease can change nothing any more.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from ingest_project import failpoints
from ingest_project.embeddings.models import Model
from ingest_project.embeddings.providers import ProviderError, Vectors
from ingest_project.embeddings.text import BYTES_PER_TOKEN, text_expression
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
_BIGINT, _TID, _UUID = 20, 27, 2950  # oids of Postgres' types


@dataclass(frozen=True)
class Limits:
    """The limits of a worker. `batch_tokens` is estimated; `max_requests` in all, None for no limit."""

    batch_size: int = 500
    batch_tokens: int = 100_000
    calls: int = 4  # to the provider, at the same time
    attempts: int = 10
    lease_seconds: float = 60.0
    patience: float = 75.0  # seconds that a worker waits for requests that are not due yet
    grace: float = 5.0  # seconds that a stopped worker waits for calls under way
    max_requests: int | None = None


def chosen_limits() -> Limits:
    """The limits in the settings of this deployment."""
    chosen = settings()
    return Limits(
        batch_size=chosen.embed_batch_size,
        batch_tokens=chosen.embed_batch_tokens,
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
    ctids: list[bytes]  # of the requests' rows; renewing the lease changes them
    attempts: int  # the most that one of them has behind it
    after: Cursor  # where the next claim goes on

    def __len__(self) -> int:
        return len(self.item_ids)


class Queue:
    """The requests of one model, over one session in autocommit."""

    def __init__(self, connection: Connection, model: Model, limits: Limits) -> None:
        self._connection = connection
        self._model = model
        self._limits = limits
        self._claim = _SQL["claim"].format(text=text_expression(model.template))

    def claim(self, branch_id: int, after: Cursor, count: int) -> Claim | None:
        """Lease up to `count` requests of a branch that are due, after the cursor; None where there are none."""
        lease_id = uuid4()
        values = self._values(
            branch_id=branch_id,
            after=after[0],
            after_item=after[1],
            count=count,
            tokens=self._limits.batch_tokens,
            bytes_per_token=BYTES_PER_TOKEN,
            lease_id=lease_id,
            lease_seconds=self._limits.lease_seconds,
            run_id=correlation_id(),
        )
        rows = self._connection.execute(self._claim, values, binary=True).fetchall()
        if not rows:
            return None
        item_ids, hashes, texts, attempts, due, ctids = map(list, zip(*rows, strict=True))
        return Claim(lease_id, item_ids, hashes, texts, ctids, max(attempts), (due[-1], item_ids[-1]))

    def complete(self, claim: Claim, positions: Sequence[int], vectors: Vectors) -> int:
        """Store vectors for these positions and acknowledge them. Returns how many; the others were stale."""
        stored = self._complete(claim, positions, vectors)
        if stored < len(positions):
            stored += self._complete_moved(claim, positions, vectors)
        failpoints.reach("vectors_committed")
        return stored

    def _complete(self, claim: Claim, positions: Sequence[int], vectors: Vectors) -> int:
        values = self._values(lease_id=claim.lease_id, **_arrays(claim, positions, vectors, self._vector_oid))
        return fetch_value(self._connection, _SQL["complete"], values)

    def _complete_moved(self, claim: Claim, positions: Sequence[int], vectors: Vectors) -> int:
        item_ids = [claim.item_ids[at] for at in positions]
        values = self._values(lease_id=claim.lease_id, item_ids=item_ids)
        ctid_of = dict(self._connection.execute(_SQL["find_moved"], values, binary=True).fetchall())
        moved = [at for at, item_id in enumerate(item_ids) if item_id in ctid_of]
        if not moved:
            return 0
        ctids = [ctid_of.get(item_id, ctid) for item_id, ctid in zip(claim.item_ids, claim.ctids, strict=True)]
        return self._complete(replace(claim, ctids=ctids), [positions[at] for at in moved], vectors[moved])

    @cached_property
    def _vector_oid(self) -> int:
        return fetch_value(self._connection, _SQL["vector_oid"])

    def fail(self, claim: Claim, positions: Sequence[int], error: ProviderError) -> int:
        """Count an attempt. Returns how many requests are dead now."""
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, keeps no secret
        waits = {"first": FIRST_WAIT, "longest": LONGEST_WAIT, "jitter": jitter, "attempts": self._limits.attempts}
        return self._end_lease("fail", claim, positions, error, **waits)

    def bury(self, claim: Claim, positions: Sequence[int], error: ProviderError) -> int:
        """Give up without further attempts. Returns how many requests are dead now."""
        return self._end_lease("bury", claim, positions, error)

    def defer(self, claim: Claim, positions: Sequence[int], error: ProviderError, seconds: float) -> None:
        """Make requests due again in so many seconds, without counting an attempt."""
        self._end_lease("defer", claim, positions, error, seconds=seconds)

    def _end_lease(
        self, name: str, claim: Claim, positions: Sequence[int], error: ProviderError, **values: object
    ) -> int:
        values["error_class"], values["error"] = error.error_class, str(error).replace("\0", "")[:LONGEST_ERROR]
        item_ids = [claim.item_ids[at] for at in positions]
        values = self._values(lease_id=claim.lease_id, item_ids=item_ids, **values)
        return sum(is_dead for (is_dead,) in self._connection.execute(_SQL[name], values).fetchall())

    def release(self, claim: Claim, positions: Sequence[int] | None = None) -> None:
        """Hand back the requests of a claim, or those of these positions, as they were before; completed ones stay."""
        item_ids = claim.item_ids if positions is None else [claim.item_ids[at] for at in positions]
        self._execute("release", lease_id=claim.lease_id, item_ids=item_ids)

    def renew(self, claim: Claim) -> None:
        """Extend a lease by its full length, from now."""
        self._execute(
            "renew", lease_id=claim.lease_id, item_ids=claim.item_ids, lease_seconds=self._limits.lease_seconds
        )

    def rescue(self) -> int:
        """Take back expired leases, of any model. Returns how many."""
        return self._execute("rescue", attempts=self._limits.attempts)

    def pause(self, error: ProviderError, seconds: float | None) -> float:
        """Make all workers of the endpoint wait: `seconds` where it asked for that. Returns for how long from now."""
        waits = {"seconds": seconds, "first": FIRST_PAUSE, "longest": LONGEST_PAUSE}
        return fetch_value(self._connection, _SQL["pause"], self._values(reason=str(error)[:LONGEST_ERROR], **waits))

    def unpause(self) -> None:
        """Note that the endpoint has answered: its next pause is a short one again."""
        self._execute("unpause")

    def branches(self) -> list[int]:
        """Ids of the branches that have pending requests."""
        return [branch for (branch,) in self._connection.execute(_SQL["pending_branches"], self._values()).fetchall()]

    def next_due(self, branch_id: int | None) -> float | None:
        """Seconds until a request can be claimed or rescued; None where none waits."""
        branches = self.branches() if branch_id is None else [branch_id]
        values = self._values(branches=branches, branch_id=branch_id)
        due = fetch_value(self._connection, _SQL["next_due"], values)
        return None if due is None else max(due, 0.0)

    def _execute(self, name: str, **values: object) -> int:
        return self._connection.execute(_SQL[name], self._values(**values)).rowcount

    def _values(self, **values: object) -> dict[str, Any]:
        return {"model_id": self._model.model_id, "endpoint": self._model.endpoint, **values}


def _arrays(claim: Claim, positions: Sequence[int], vectors: Vectors, vector_oid: int) -> dict[str, BinaryArray]:
    """Parameters of `complete` in Postgres' binary format, without a loop over the numbers of a vector."""
    dims = vectors.shape[1]
    records = np.zeros(len(positions), np.dtype([("dims", ">i2"), ("unused", ">i2"), ("values", ">f4", (dims,))]))
    records["dims"], records["values"] = dims, vectors
    ids = np.fromiter((claim.item_ids[at] for at in positions), ">i8", len(positions))
    hashes = np.frombuffer(b"".join(claim.hashes[at] for at in positions), "V16")
    ctids = np.frombuffer(b"".join(claim.ctids[at] for at in positions), "V6")
    return {
        "ctids": binary_array(ctids, _TID),
        "item_ids": binary_array(ids, _BIGINT),
        "hashes": binary_array(hashes, _UUID),
        "vectors": binary_array(records, vector_oid),
    }


def require_vectors(connection: Connection) -> None:
    """Make sure that vectors can be stored. Raises VectorsMissing, with the command for the DBA."""
    if not ensure_vectors(connection):
        raise VectorsMissing(where={"database": connection.info.dbname})


@dataclass(frozen=True)
class Estimate:
    """The pending requests of a model. `tokens` is from a sample of the texts; `usd` where the model has a price."""

    items: int
    tokens: int
    usd: float | None
    next_attempt_at: datetime | None


def estimate(connection: Connection, model: Model, branch_id: int | None = None) -> Estimate:
    """What it takes to embed all that is pending."""
    values = {"model_id": model.model_id, "branch_id": branch_id}
    pending = connection.execute(_SQL["count_pending"], values).fetchone()
    assert pending is not None, "an aggregate"
    items, next_attempt_at = pending
    mean_bytes = fetch_value(connection, _SQL["mean_text_bytes"].format(text=text_expression(model.template)), values)
    tokens = round(items * (mean_bytes / BYTES_PER_TOKEN))
    return Estimate(items, tokens, model.price_of(tokens), next_attempt_at)


def retry_dead(connection: Connection, branch_id: int | None = None, error_class: str | None = None) -> int:
    """Make dead requests pending again, with all their attempts. Returns how many."""
    return connection.execute(_SQL["retry_dead"], {"branch_id": branch_id, "error_class": error_class}).rowcount
