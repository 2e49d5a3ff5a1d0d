"""The summary of a run: what it changed and what to do next, as text for people and as JSON for scripts."""

import shlex
from dataclasses import dataclass
from typing import Any

from ingest_project.branches.activations import Activation
from ingest_project.cli.planned import plan_lines

COUNTS = (
    "rows_read",
    "carried",
    "rejected",
    "valid",
    "inserted",
    "updated",
    "touched",
    "unchanged",
    "stale",
    "missing",
    "tombstoned",
    "requests",
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: exit code, error, the activation it worked on; `embedded`: its vectors were made, too."""

    run_id: str
    exit_code: int
    error: str | None
    activation: Activation | None
    rejects: dict[str, int]
    dry_run: bool
    embedded: bool = False


def as_json(name: str, outcome: Outcome) -> dict[str, Any]:
    """The summary as one JSON object."""
    activation = outcome.activation
    return {
        "branch": name,
        "run_id": outcome.run_id,
        "exit_code": outcome.exit_code,
        "error": outcome.error,
        "activation": activation.activation_id if activation else None,
        "state": activation.state if activation else None,
        **{count: getattr(activation, count) if activation else None for count in COUNTS},
        "rejects": outcome.rejects,
        "drift": activation.drift if activation else None,
        "plan": activation.plan if activation and outcome.dry_run else None,
    }


def summary(name: str, outcome: Outcome) -> str:
    """The summary as lines for a terminal."""
    activation = outcome.activation
    if activation is None:
        return f"run {outcome.run_id} is done"
    if outcome.dry_run:
        return "\n".join(plan_lines(name, activation, outcome.rejects))
    return "\n".join(_ingest_lines(name, activation, outcome))


def _ingest_lines(name: str, activation: Activation, outcome: Outcome) -> list[str]:
    lines = [f"\nactivation {activation.activation_id} of {name!r} is {activation.state} (run {outcome.run_id})"]
    lines += _read_lines(activation, outcome.rejects)
    changed = (
        (activation.inserted or 0)
        + (activation.updated or 0)
        + (activation.touched or 0)
        + (activation.tombstoned or 0)
    )
    if not changed:
        lines.append("  nothing changed in core.items")
    lines.append(
        f"  core.items: {activation.inserted:,} inserted, {activation.updated:,} updated, "
        f"{activation.touched:,} touched, {activation.unchanged:,} unchanged, {activation.stale:,} stale"
    )
    if activation.missing:
        fate = f"{activation.tombstoned:,} of them are marked as deleted" if activation.tombstoned else "they are kept"
        lines.append(f"  {activation.missing:,} items of this branch are not in this activation; {fate}")
    lines.append(f"  embeddings: {activation.requests:,} requested")
    return [*lines, "", *_next_steps(name, outcome)]


def _read_lines(activation: Activation, rejects: dict[str, int]) -> list[str]:
    read, valid, rejected = (activation.rows_read or 0, activation.valid or 0, activation.rejected or 0)
    lines = [f"  read {read:,} rows: {valid:,} valid, {rejected:,} rejected"]
    lines += [f"  columns: {change}" for change in activation.reported_drift]
    if activation.carried:
        lines.append(f"  carried forward: {activation.carried:,} rows that are as they were, not normalized again")
    if rejects:
        lines.append("  rejected: " + ", ".join(f"{code} {count:,}" for code, count in rejects.items()))
    return lines


def _next_steps(name: str, outcome: Outcome) -> list[str]:
    steps = [
        "next: ingest dev   (the same data in Dagster's UI)",
        f"      ingest status {shlex.quote(name)}",
    ]
    if outcome.embedded:
        steps.append('      ingest search "museum near a river"')
    elif outcome.activation and outcome.activation.requests:
        steps.append(f"      ingest embed run {shlex.quote(name)}")
    if outcome.rejects:
        steps.append(f"      ingest rejects {shlex.quote(name)}")
    return steps
