"""A worker, or what else there is, in a process of its own, that can be killed at any instant."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess

from ingest_project import failpoints
from ingest_project.embeddings.models import activate_model, get_model
from ingest_project.embeddings.providers.openai_api import OpenAIApi
from ingest_project.embeddings.queue import Limits
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.embeddings.worker import run_worker
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project_tests.embeddings.working import DIMS

with suppress(ModuleNotFoundError):
    import openai  # noqa: F401 - for the children, which would each wait for it

# Children are forked from a process that has all of this imported and no thread, connection or lock of ours.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def start(url: str, model_id: int, endpoint: str, limits: Limits, failpoint: str = "") -> BaseProcess:
    """Start a worker, armed to die at a failpoint."""
    return start_to(partial(_work, url, model_id, limits), failpoint, OPENAI_BASE_URL=endpoint)


def start_to(do: Callable[[], object], failpoint: str, **more: str) -> BaseProcess:
    """Start what else there is to do, armed to die at a failpoint; keywords go into its environment."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("INGEST_")}
    child = _FORKS.Process(target=_do_in, args=({**environment, **more}, failpoint, do))
    child.start()
    return child


def _do_in(environment: Mapping[str, str], failpoint: str, do: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the suite runs behind a script
    os.environ.update(environment)
    settings.cache_clear()
    failpoints.arm(failpoint)
    do()


def _work(url: str, model_id: int, limits: Limits) -> None:
    run_worker(url, model_id=model_id, provider=OpenAIApi("scripted", DIMS), limits=limits)


def reconcile_by_two(url: str) -> None:
    """Bring the whole ledger to what is wanted, two ids at a time."""
    with session(url) as connection:
        reconcile(connection, size=2)


def switch(url: str, model_id: int) -> None:
    """Make a model the active one."""
    with session(url) as connection:
        activate_model(connection, get_model(connection, model_id), force=True)
