"""Dagster's instance, for the commands that need it."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest_project.defs.home import dagster_home

if TYPE_CHECKING:
    from dagster import DagsterInstance


@contextmanager
def dagster_instance() -> Generator["DagsterInstance"]:
    """The instance of DAGSTER_HOME, or of INGEST_HOME/dagster."""
    from dagster import DagsterInstance

    # Dagster's own subprocesses and loaders read it.
    os.environ["DAGSTER_HOME"] = str(dagster_home())
    with DagsterInstance.get() as instance:
        yield instance
