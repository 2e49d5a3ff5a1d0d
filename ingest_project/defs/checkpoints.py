"""Checkpoints in Dagster's run storage, one per branch and asset: how far it is, for people and other tools.

A resumed run does not read them but the manifest: a checkpoint is written later, in another transaction, and may lag.
"""

import json
from dataclasses import asdict, dataclass

from dagster import DagsterInstance


@dataclass(frozen=True)
class Checkpoint:
    """How far an asset of a branch has got."""

    activation: int
    rows: int
    run_id: str
    complete: bool


class Checkpoints:
    """Dagster's key-value storage, one key per (branch, asset): it can set and get, not delete."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._storage = instance.daemon_cursor_storage

    def set(self, branch: str, asset: str, checkpoint: Checkpoint) -> None:
        self._storage.set_cursor_values({_key(branch, asset): json.dumps(asdict(checkpoint))})

    def get(self, branch: str, asset: str) -> Checkpoint | None:
        key = _key(branch, asset)
        value = self._storage.get_cursor_values({key}).get(key)
        return Checkpoint(**json.loads(value)) if value else None


def _key(branch: str, asset: str) -> str:
    return f"ingest_project/{branch}/{asset}"
