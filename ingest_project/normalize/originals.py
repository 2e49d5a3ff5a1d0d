"""From which activations the rows of a replay come: its pin lists them."""

from dataclasses import dataclass
from typing import Any

from ingest_project.branches.activations import Activation


@dataclass(frozen=True)
class Original:
    """The activation that the rows of one part of a replay come from, and the range of their row numbers."""

    activation: int
    first: int
    last: int


def originals_of(activation: Activation) -> dict[int, Original]:
    """The originals by part of a replay; empty for any other activation."""
    originals: dict[str, Any] = (activation.pin or {}).get("originals", {}) if activation.kind == "replay" else {}
    return {int(part): Original(**original) for part, original in originals.items()}
