"""A worker in a process of its own, that can be killed at any instant."""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.process import BaseProcess

from ingest_project import failpoints
from ingest_project.embeddings.providers.openai_api import OpenAIApi
from ingest_project.embeddings.queue import Limits
from ingest_project.embeddings.worker import run_worker
from ingest_project.settings import settings
from ingest_project_tests.embeddings.working import DIMS

with suppress(ModuleNotFoundError):
    import openai  # noqa: F401 - for the children, which would each wait for it

# Children are forked from a process that has all of this imported and no thread, connection or lock of ours.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def start(url: str, model_id: int, endpoint: str, limits: Limits, failpoint: str = "") -> BaseProcess:
    """Start a worker, armed to die at a failpoint."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("INGEST_")}
    environment["OPENAI_BASE_URL"] = endpoint
    child = _FORKS.Process(target=_work_in, args=(environment, failpoint, url, model_id, limits))
    child.start()
    return child


def _work_in(environment: Mapping[str, str], failpoint: str, url: str, model_id: int, limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the suite runs behind a script
    os.environ.update(environment)
    settings.cache_clear()
    failpoints.arm(failpoint)
    run_worker(url, model_id=model_id, provider=OpenAIApi("scripted", DIMS), limits=limits)
