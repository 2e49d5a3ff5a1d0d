"""The embedding worker: claims requests, calls the provider and stores the vectors, until nothing is due.

Calls run in threads of their own, a bounded number at a time. They do not talk to Postgres, so no transaction is ever
open for the length of a call; one more thread stores their answers (`answer_writer.py`). All these threads are daemons:
a worker that is told to stop hands its leases back and leaves, whatever the provider does.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from uuid import UUID

import psycopg

from ingest_project import failpoints
from ingest_project.embeddings.answer_writer import AnswerWriter
from ingest_project.embeddings.models import Model, get_model
from ingest_project.embeddings.provider_call import Answer, call_provider
from ingest_project.embeddings.providers import (
    AuthFailed,
    BadRequest,
    Provider,
    ProviderError,
    RateLimited,
    Transient,
    provider_for,
)
from ingest_project.embeddings.queue import FROM_THE_START, Claim, Cursor, Limits, Queue, chosen_limits, require_vectors
from ingest_project.embeddings.text import truncated
from ingest_project.errors import DatabaseUnreachable, ProviderUnusable
from ingest_project.postgres.connection import session
from ingest_project.telemetry import log

_CONNECTION_LOST = ("08", "57P")  # how such SQLSTATEs begin: it failed, or the server or an administrator ended it
_POLL_SECONDS = 0.2  # at most, until a stop is noticed


@dataclass
class EmbedOutcome:
    """Requests by outcome: `deferred` by a rate limit, `failed` and to be tried again, `dead`, or `stale` as the item
    or the lease changed meanwhile. `tokens` as the provider counts them; `waiting`: seconds until the next request is
    due, if the worker did not wait for it. `stopped`: by the event, or at its limit.
    """

    done: int = 0
    deferred: int = 0
    failed: int = 0
    dead: int = 0
    stale: int = 0
    tokens: int = 0
    seconds: float = 0.0
    waiting: float | None = None
    stopped: bool = False


def run_worker(
    url: str | None = None,
    *,
    model_id: int,
    branch_id: int | None = None,
    provider: Provider | None = None,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> EmbedOutcome:
    """Embed what is due for a model, of one branch or of all; `progress` is called with each number of new vectors.

    Ends when nothing is due within `limits.patience`, after `limits.max_requests`, or when `stop` is set; leases are
    handed back. Raises ProviderUnusable where no text can pass, with no attempt counted; VectorsMissing;
    DatabaseUnreachable.
    """
    with session(url) as connection:
        require_vectors(connection)
        model = get_model(connection, model_id)
        limits = limits or chosen_limits()
        provider = provider or usable_provider(model)
        writer = AnswerWriter(url, model, limits)
        worker = _Worker(Queue(connection, model, limits), writer, model, provider, limits, branch_id, progress)
        try:
            with writer:
                return worker.run(stop or threading.Event())
        except BaseException as error:
            _hand_back(url, model, limits, worker.claims)
            if _is_connection_lost(error):
                raise DatabaseUnreachable(
                    "the connection to Postgres was lost; what was stored stays, what was leased runs out by itself",
                    todo="Run the same command again.",
                ) from error
            raise


def _is_connection_lost(error: BaseException) -> bool:
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_CONNECTION_LOST)


def usable_provider(model: Model) -> Provider:
    """The provider of a model. Raises ProviderUnusable."""
    try:
        return provider_for(model)
    except AuthFailed as error:
        raise _unusable(model, error) from error


def _unusable(model: Model, error: AuthFailed) -> ProviderUnusable:
    where = {"model": f"{model.model_id} ({model.label})", "endpoint": model.endpoint}
    return ProviderUnusable(str(error), where=where, todo=error.todo)


def _hand_back(url: str | None, model: Model, limits: Limits, claims: list[Claim]) -> None:
    # Over another session: the worker's may be lost, or in the middle of a statement.
    if claims:
        with suppress(psycopg.Error, DatabaseUnreachable), session(url) as connection:
            for claim in claims:
                Queue(connection, model, limits).release(claim)


class _Worker:
    def __init__(
        self,
        queue: Queue,
        writer: AnswerWriter,
        model: Model,
        provider: Provider,
        limits: Limits,
        branch_id: int | None,
        progress: Callable[[int], None],
    ) -> None:
        self._queue = queue
        self._writer = writer
        self._model = model
        self._provider = provider
        self._limits = limits
        self._branch_id = branch_id
        self._progress = progress
        self._outcome = EmbedOutcome()
        self._in_flight: dict[UUID, Claim] = {}
        self._cursors: dict[int, Cursor] = {}
        self._branches: list[int] = []
        self._claimed = 0
        self._batch_size = limits.batch_size
        self._next_renewal = 0.0
        self._reset_cursors()

    @property
    def claims(self) -> list[Claim]:
        """Those whose leases are held."""
        return list(self._in_flight.values())

    def run(self, stop: threading.Event) -> EmbedOutcome:
        began, tokens = time.monotonic(), self._provider.tokens
        idle_since = began
        while not stop.is_set():
            self._keep_leases()
            self._start_calls()
            if self._in_flight:
                if self._settle_one(_POLL_SECONDS):
                    idle_since = time.monotonic()
                continue
            due = self._queue.next_due(self._branch_id)
            if due is None or self._limit_reached() or self._exceeds_patience(due, idle_since):
                self._outcome.waiting = due
                break
            if due == 0:
                self._reset_cursors()
            stop.wait(min(max(due, 0.005), _POLL_SECONDS))
        self._finish()
        self._outcome.stopped = stop.is_set() or self._limit_reached()
        self._outcome.seconds = time.monotonic() - began
        self._outcome.tokens = self._provider.tokens - tokens
        return self._outcome

    def _limit_reached(self) -> bool:
        return self._limits.max_requests is not None and self._claimed >= self._limits.max_requests

    def _exceeds_patience(self, due: float, idle_since: float) -> bool:
        return time.monotonic() - idle_since + due > self._limits.patience

    def _keep_leases(self) -> None:
        """Renew our leases and take back expired ones, three times within the length of a lease."""
        now = time.monotonic()
        if now < self._next_renewal:
            return
        self._next_renewal = now + self._limits.lease_seconds / 3
        for claim in self.claims:
            self._queue.renew(claim)
        if rescued := self._queue.rescue():
            log.warning("%d requests were held by a worker that is gone; they are due again", rescued)

    def _start_calls(self) -> None:
        while len(self._in_flight) < self._limits.calls and not self._limit_reached():
            claim = self._next_claim()
            if claim is None:
                return
            failpoints.reach("requests_claimed")
            self._claimed += len(claim)
            self._in_flight[claim.lease_id] = claim
            context = copy_context()
            threading.Thread(target=context.run, args=(self._call, claim), daemon=True).start()

    def _call(self, claim: Claim) -> None:
        unfinished = Transient("the call did not end", error_class="unexpected")
        answer = Answer(undecided=list(range(len(claim))), error=unfinished)
        try:
            texts = [truncated(text, self._model.options.token_limit) for text in claim.texts]
            answer = call_provider(self._provider, texts, claim.attempts)
        finally:
            self._writer.put(claim, answer)

    def _next_claim(self) -> Claim | None:
        count = self._batch_size
        if self._limits.max_requests is not None:
            count = min(count, self._limits.max_requests - self._claimed)
        for branch_id in self._branches:
            after = self._cursors.get(branch_id, FROM_THE_START)
            claim = self._queue.claim(branch_id, after, count)
            if claim:
                self._cursors[branch_id] = claim.after
                return claim
        return None

    def _reset_cursors(self) -> None:
        # Requests that were handed back, or came with a new branch, lie before the cursors.
        self._cursors.clear()
        self._branches = self._queue.branches() if self._branch_id is None else [self._branch_id]

    def _settle_one(self, timeout: float) -> bool:
        """Settle the next stored answer; whether there was one in time."""
        stored = self._writer.get(timeout)
        if stored is None:
            return False
        if stored.claim.lease_id in self._in_flight:
            self._settle(stored.claim, stored.answer, stored.count)
            self._in_flight.pop(stored.claim.lease_id)
        return True

    def _settle(self, claim: Claim, answer: Answer, stored: int) -> None:
        if answer.done:
            self._queue.unpause()
            self._outcome.done += stored
            self._outcome.stale += len(answer.done) - stored
            self._progress(stored)
        for position, error in answer.failed.items():
            self._fail(claim, [position], error)
        if answer.undecided:
            self._give_back(claim, answer.undecided, answer.error or Transient("not answered"))
        if answer.was_split and not answer.failed and not answer.undecided:
            self._batch_size = max(1, self._batch_size // 2)
            log.info("the provider takes only smaller batches: %d texts from now on", self._batch_size)

    def _fail(self, claim: Claim, positions: list[int], error: ProviderError) -> None:
        end = self._queue.bury if isinstance(error, BadRequest) else self._queue.fail
        dead = end(claim, positions, error)
        self._outcome.dead += dead
        self._outcome.failed += len(positions) - dead
        if dead:
            log.warning("%d requests are dead (%s): %s", dead, error.error_class, error)

    def _give_back(self, claim: Claim, positions: list[int], error: ProviderError) -> None:
        """End the leases of undecided requests, and leave the endpoint alone for a while."""
        if isinstance(error, AuthFailed):
            self._queue.release(claim, positions)
            raise _unusable(self._model, error) from error
        retry_after = error.retry_after if isinstance(error, RateLimited) else None
        seconds = self._queue.pause(error, retry_after)
        log.info("%s is left alone for %.1f s: %s", self._model.endpoint, seconds, error)
        if isinstance(error, RateLimited):
            self._queue.defer(claim, positions, error, seconds)
            self._outcome.deferred += len(positions)
        else:
            self._fail(claim, positions, error)

    def _finish(self) -> None:
        """Wait for calls under way, as they are paid for, within the grace period. Hand back the rest."""
        deadline = time.monotonic() + self._limits.grace
        while self._in_flight and (remaining := deadline - time.monotonic()) > 0:
            self._settle_one(remaining)
        for claim in self.claims:
            self._queue.release(claim)
        self._in_flight.clear()
