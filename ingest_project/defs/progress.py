"""Progress of a step, shown in Dagster every few seconds: its checkpoint, and an observation of the partition.

Never once per part: each costs Dagster a connection or two.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from ingest_project import instruments
from ingest_project.branches.work import Work
from ingest_project.defs.checkpoints import Checkpoint, Checkpoints
from ingest_project.telemetry import Progress, listening

EVERY_SECONDS = 5.0


@contextmanager
def progress_shown(context: dg.OutputContext, asset: str, work: Work) -> Generator[None]:
    """Show in Dagster the progress that the stage reports inside; at its end, mark the checkpoint as complete."""
    listener = _Listener(context, asset, work)
    stage = instruments.stage(
        asset,
        branch=work.branch.name,
        activation=work.activation.activation_id,
        rows_before=listener.rows,
        is_retry=context.step_context.previous_attempt_count > 0,
    )
    with listening(listener), stage:
        yield
    listener.checkpoint(complete=True)


class _Listener:
    def __init__(self, context: dg.OutputContext, asset: str, work: Work) -> None:
        self._context = context
        self._asset = asset
        self._work = work
        self._checkpoints = Checkpoints(context.step_context.instance)
        self.rows = self._rows_before()
        self._next = time.monotonic() + EVERY_SECONDS

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._asset:
            return
        self.rows = progress.rows
        if time.monotonic() >= self._next:
            self.checkpoint(complete=False)
            self._observe(progress)
            self._next = time.monotonic() + EVERY_SECONDS

    def _rows_before(self) -> int:
        # A step that finds its work done reports no progress: the checkpoint then keeps its rows.
        checkpoint = self._checkpoints.get(self._work.branch.name, self._asset)
        return checkpoint.rows if checkpoint and checkpoint.activation == self._work.activation.activation_id else 0

    def checkpoint(self, *, complete: bool) -> None:
        checkpoint = Checkpoint(
            activation=self._work.activation.activation_id,
            rows=self.rows,
            run_id=self._work.lease.run_id,
            complete=complete,
        )
        self._checkpoints.set(self._work.branch.name, self._asset, checkpoint)

    def _observe(self, progress: Progress) -> None:
        self._context.log_event(
            dg.AssetObservation(
                asset_key=self._context.asset_key,
                partition=self._work.branch.name,
                metadata={
                    "activation": self._work.activation.activation_id,
                    "rows_so_far": progress.rows,
                    **({"rows_in_all": progress.total} if progress.total else {}),
                },
            )
        )
