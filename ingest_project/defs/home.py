"""The DAGSTER_HOME that the `ingest` command runs Dagster with."""

import os
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from ingest_project.settings import settings


def dagster_home() -> Path:
    """DAGSTER_HOME where it is set, else INGEST_HOME/dagster with the `dagster.yaml` of this package."""
    configured = os.environ.get("DAGSTER_HOME")
    return Path(configured) if configured else _own_home()


def _own_home() -> Path:
    home = settings().home.expanduser().absolute() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shipped = files("ingest_project.defs").joinpath("dagster.yaml").read_text(encoding="utf-8")
    target = home / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != shipped:
        # Renamed into place: another process may be reading it.
        temporary = target.with_suffix(f".{uuid4().hex}")
        temporary.write_text(shipped, encoding="utf-8")
        temporary.replace(target)
    return home
