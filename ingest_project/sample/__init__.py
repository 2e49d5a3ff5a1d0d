"""The demo's own data: real places written down for it, a branch file, and a generator of the usual dirt."""

from importlib.resources import files
from pathlib import Path

from ingest_project.sample.generate import write_demo

SPEC = Path(str(files(__name__))) / "places.yaml"

__all__ = ["SPEC", "write_demo"]
