"""Where the rows of a replay come from, as its pin says."""

from dataclasses import dataclass
from typing import Any

from ingest_project.branches.activations import Activation


@dataclass(frozen=True)
class Original:
    """Where the rows of one part of a replay come from: an activation, and the range of its rows."""

    activation: int
    first: int
    last: int


def originals_of(activation: Activation) -> dict[int, Original]:
    """Part of a replay to where its rows come from; empty for any other activation."""
    kept: dict[str, Any] = (activation.pin or {}).get("originals", {}) if activation.kind == "replay" else {}
    return {int(part): Original(**one) for part, one in kept.items()}
