"""The gates of a source: how long ago it was written, and columns that a frozen contract does not allow.

They are measured before any part is kept; an activation that a person accepts is read then, unless its source moved.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ingest_project.branches.gates import Gate
from ingest_project.branches.work import Work
from ingest_project.extract import drift
from ingest_project.extract.source import Pin


def freshness(work: Work, pin: Pin) -> list[Gate]:
    """The age of the source when it was pinned: what was fresh then does not grow stale in a run that resumes."""
    limit, pinned_at = work.spec.limits.max_age, work.activation.pinned_at
    if limit is None or pin.written_at is None or pinned_at is None:
        return []
    age = timedelta(seconds=round((pinned_at - pin.written_at).total_seconds()))
    what = f"the source was last written {age} before it was looked at; limits.max_age is {limit}"
    return [Gate("freshness", age.total_seconds(), limit.total_seconds(), what)]


def contract(comparison: Mapping[str, Any], last_header: Sequence[str], pin: Pin) -> list[Gate]:
    """The changes that `drift.compare` found, of which `freeze` allows none."""
    if comparison["contract"] != "freeze" or comparison["against"] is None:
        return []
    changes = comparison["changes"]
    what = drift.describe(changes, last_header, pin.header) if changes else "the columns are those of the last time"
    return [Gate("contract", len(changes), 0, what)]
