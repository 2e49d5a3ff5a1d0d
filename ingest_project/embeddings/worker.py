"""The worker: claims, asks, stores, until nothing is due. Two sessions, a bounded number of calls in flight.

Calls run in threads of their own, and only they wait for a provider; none of them talks to Postgres, so no
transaction is ever open for the length of a call. One thread more stores what they bring (`storing.py`). A call's
thread is a daemon: a worker that is told to stop hands its leases back and leaves, whatever the provider does.
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
from ingest_project.embeddings.asking import Answer, ask
from ingest_project.embeddings.models import Model, get_model
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
from ingest_project.embeddings.storing import Storing
from ingest_project.embeddings.text import shortened
from ingest_project.errors import DatabaseUnreachable, ProviderUnusable
from ingest_project.postgres.connection import session
from ingest_project.telemetry import log

_LOST = ("08", "57P")  # classes of SQLSTATE: the connection failed, the server or a person ended it
_LOOK_EVERY = 0.2  # seconds in which a stop is noticed


@dataclass
class EmbedOutcome:
    """What came of the requests: `deferred` by a rate limit, `failed` to be tried again, `dead`, `stale` since they
    changed or were lost meanwhile. `tokens` as the provider counts them; `waiting`: seconds until the next is due,
    where the worker did not wait for it. `stopped`: by the event, or at its limit.
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
    """Embed what is due for a model, of one branch or of all; `progress` is told each number newly done.

    Ends when nothing is due within `limits.patience`, at `limits.limit`, or when `stop` is set: leases are handed
    back. Raises ProviderUnusable where no text can pass, with nothing charged; VectorsMissing; DatabaseUnreachable.
    """
    with session(url) as connection:
        require_vectors(connection)
        model = get_model(connection, model_id)
        limits = limits or chosen_limits()
        asked = provider or usable_provider(model)
        storing = Storing(url, model, limits)
        work = _Worker(Queue(connection, model, limits), storing, model, asked, limits, branch_id, progress)
        try:
            with storing:
                return work.run(stop or threading.Event())
        except BaseException as error:
            _hand_back(url, model, limits, work.held)
            if isinstance(error, psycopg.OperationalError) and (error.sqlstate or _LOST[0]).startswith(_LOST):
                raise DatabaseUnreachable(
                    "the connection to Postgres was lost; what was stored stays, what was leased runs out by itself",
                    todo="Run the same command again.",
                ) from error
            raise


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
        storing: Storing,
        model: Model,
        provider: Provider,
        limits: Limits,
        branch_id: int | None,
        progress: Callable[[int], None],
    ) -> None:
        self._queue = queue
        self._storing = storing
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
        self._count = limits.count
        self._next_chores = 0.0
        self._from_the_start()

    @property
    def held(self) -> list[Claim]:
        return list(self._in_flight.values())

    def run(self, stop: threading.Event) -> EmbedOutcome:
        began, tokens = time.monotonic(), self._provider.tokens
        idle_since = began
        while not stop.is_set():
            self._chores()
            self._start_calls()
            if self._in_flight:
                if self._settle(_LOOK_EVERY):
                    idle_since = time.monotonic()
                continue
            due = self._queue.next_due(self._branch_id)
            if due is None or self._limit_reached() or self._too_long(due, idle_since):
                self._outcome.waiting = due
                break
            if due == 0:
                self._from_the_start()
            stop.wait(min(max(due, 0.005), _LOOK_EVERY))
        self._finish()
        self._outcome.stopped = stop.is_set() or self._limit_reached()
        self._outcome.seconds = time.monotonic() - began
        self._outcome.tokens = self._provider.tokens - tokens
        return self._outcome

    def _limit_reached(self) -> bool:
        return self._limits.limit is not None and self._claimed >= self._limits.limit

    def _too_long(self, due: float, idle_since: float) -> bool:
        return time.monotonic() - idle_since + due > self._limits.patience

    def _chores(self) -> None:
        """Keep what is ours, take back what nobody keeps; three times as often as leases run out."""
        now = time.monotonic()
        if now < self._next_chores:
            return
        self._next_chores = now + self._limits.lease_seconds / 3
        for claim in self.held:
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
        answer = Answer(rest=list(range(len(claim))), error=Transient("the call did not end", error_class="unexpected"))
        try:
            texts = [shortened(text, self._model.options.token_limit) for text in claim.texts]
            answer = ask(self._provider, texts, claim.attempts)
        finally:
            self._storing.put(claim, answer)

    def _next_claim(self) -> Claim | None:
        left = self._limits.limit - self._claimed if self._limits.limit is not None else self._count
        for branch_id in self._branches:
            after = self._cursors.get(branch_id, FROM_THE_START)
            claim = self._queue.claim(branch_id, after, min(self._count, left))
            if claim:
                self._cursors[branch_id] = claim.after
                return claim
        return None

    def _from_the_start(self) -> None:
        # What was handed back or came with a new branch lies before the cursors.
        self._cursors.clear()
        self._branches = self._queue.branches() if self._branch_id is None else [self._branch_id]

    def _settle(self, timeout: float) -> bool:
        """Book one answer that was stored; whether one was in time."""
        ended = self._storing.get(timeout)
        if ended is None:
            return False
        if ended.claim.lease_id in self._in_flight:
            self._book(ended.claim, ended.answer, ended.count)
            self._in_flight.pop(ended.claim.lease_id)
        return True

    def _book(self, claim: Claim, answer: Answer, stored: int) -> None:
        if answer.done:
            self._queue.unpause()
            self._outcome.done += stored
            self._outcome.stale += len(answer.done) - stored
            self._progress(stored)
        for position, error in answer.failed.items():
            self._failed(claim, [position], error)
        if answer.rest:
            self._undecided(claim, answer.rest, answer.error or Transient("not answered"))
        if answer.split and not answer.failed and not answer.rest:
            self._count = max(1, self._count // 2)
            log.info("the provider takes only smaller batches: %d texts from now on", self._count)

    def _failed(self, claim: Claim, positions: list[int], error: ProviderError) -> None:
        refused = isinstance(error, BadRequest)
        ended = self._queue.bury if refused else self._queue.fail
        dead = ended(claim, positions, error)
        self._outcome.dead += dead
        self._outcome.failed += len(positions) - dead
        if dead:
            log.warning("%d requests are dead (%s): %s", dead, error.error_class, error)

    def _undecided(self, claim: Claim, positions: list[int], error: ProviderError) -> None:
        if isinstance(error, AuthFailed):
            self._queue.release(claim, positions)
            raise _unusable(self._model, error) from error
        asked = error.retry_after if isinstance(error, RateLimited) else None
        seconds = self._queue.pause(error, asked)
        log.info("%s is left alone for %.1f s: %s", self._model.endpoint, seconds, error)
        if isinstance(error, RateLimited):
            self._queue.defer(claim, positions, error, seconds)
            self._outcome.deferred += len(positions)
        else:
            self._failed(claim, positions, error)

    def _finish(self) -> None:
        """Take what comes in within the grace: it is paid for. Hand back the rest."""
        deadline = time.monotonic() + self._limits.grace
        while self._in_flight and (left := deadline - time.monotonic()) > 0:
            self._settle(left)
        for claim in self.held:
            self._queue.release(claim)
        self._in_flight.clear()
