"""Several embedding workers in parallel, which report one common progress."""

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
    """As `run_worker`, by several workers with sessions of their own; reports progress (`telemetry.report`).

    The first that fails stops the others, and its error is raised. `limits.max_requests` is divided among them.
    """
    limits, stop = limits or chosen_limits(), stop or threading.Event()
    with session(url) as connection:
        require_vectors(connection)
        model = get_model(connection, model_id)
        total = estimate(connection, model, branch_id).items
    shared_provider = provider or usable_provider(model)
    progress = _SharedProgress(total if limits.max_requests is None else min(total, limits.max_requests))
    tokens_before = shared_provider.tokens

    def work(worker: int) -> EmbedOutcome:
        try:
            return run_worker(
                url,
                model_id=model_id,
                branch_id=branch_id,
                provider=shared_provider,
                limits=replace(limits, max_requests=_share(limits.max_requests, workers, worker)),
                stop=stop,
                progress=progress,
            )
        except BaseException:
            stop.set()
            raise

    if workers == 1:
        return work(0)
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(copy_context().run, work, worker) for worker in range(workers)]
        try:
            outcome = _combine([future.result() for future in futures])
        except BaseException:
            stop.set()  # the pool waits for its threads
            raise
    outcome.tokens = shared_provider.tokens - tokens_before
    return outcome


def _share(max_requests: int | None, workers: int, worker: int) -> int | None:
    return None if max_requests is None else max_requests // workers + (worker < max_requests % workers)


def _combine(outcomes: list[EmbedOutcome]) -> EmbedOutcome:
    """The outcome of workers that ran side by side."""
    combined = EmbedOutcome()
    for name in ("done", "deferred", "failed", "dead", "stale"):
        setattr(combined, name, sum(getattr(outcome, name) for outcome in outcomes))
    combined.seconds = max(outcome.seconds for outcome in outcomes)
    combined.waiting = min((outcome.waiting for outcome in outcomes if outcome.waiting is not None), default=None)
    combined.stopped = any(outcome.stopped for outcome in outcomes)
    return combined


class _SharedProgress:
    """Reports the sum of what the workers have done."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, done: int) -> None:
        with self._lock:
            self._done += done
            report(Progress(STAGE, self._done, max(self._total, self._done)))
