"""Several embedding workers at once, and their progress as one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

from ingest_project.embeddings.models import get_model
from ingest_project.embeddings.providers import Provider
from ingest_project.embeddings.queue import Limits, chosen_limits, estimate, require_vectors
from ingest_project.embeddings.worker import EmbedOutcome, run_worker, usable_provider
from ingest_project.postgres.connection import session
from ingest_project.telemetry import Progress, report

STAGE = "item_embeddings"


def run_workers(
    url: str | None = None,
    *,
    model_id: int,
    branch_id: int | None = None,
    workers: int = 1,
    provider: Provider | None = None,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
) -> EmbedOutcome:
    """As `run_worker`, by several workers, each with a session of its own; tells progress to who listens.

    The first that fails stops the others, and its error is raised. `limits.limit` is shared out among them.
    """
    limits, stop = limits or chosen_limits(), stop or threading.Event()
    with session(url) as connection:
        require_vectors(connection)
        model = get_model(connection, model_id)
        total = estimate(connection, model, branch_id).items
    asked = provider or usable_provider(model)
    counted = _Counted(total if limits.limit is None else min(total, limits.limit))
    tokens = asked.tokens

    def work(share: int) -> EmbedOutcome:
        try:
            return run_worker(
                url,
                model_id=model_id,
                branch_id=branch_id,
                provider=asked,
                limits=replace(limits, limit=_share(limits.limit, workers, share)),
                stop=stop,
                progress=counted,
            )
        except BaseException:
            stop.set()
            raise

    if workers == 1:
        return work(0)
    with ThreadPoolExecutor(workers) as pool:
        parts = [pool.submit(copy_context().run, work, share) for share in range(workers)]
        try:
            outcome = _together([part.result() for part in parts])
        except BaseException:
            stop.set()  # the pool waits for its threads
            raise
    outcome.tokens = asked.tokens - tokens
    return outcome


def _share(limit: int | None, workers: int, share: int) -> int | None:
    return None if limit is None else limit // workers + (share < limit % workers)


def _together(parts: list[EmbedOutcome]) -> EmbedOutcome:
    whole = EmbedOutcome()
    for name in ("done", "deferred", "failed", "dead", "stale"):
        setattr(whole, name, sum(getattr(part, name) for part in parts))
    whole.seconds = max(part.seconds for part in parts)
    whole.waiting = min((part.waiting for part in parts if part.waiting is not None), default=None)
    whole.stopped = any(part.stopped for part in parts)
    return whole


class _Counted:
    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, done: int) -> None:
        with self._lock:
            self._done += done
            report(Progress(STAGE, self._done, max(self._total, self._done)))
