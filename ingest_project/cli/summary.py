"""What a run changed, and what to do next, for people and for scripts."""

import shlex
from dataclasses import dataclass
from typing import Any

from ingest_project.branches.activations import Activation
from ingest_project.cli.planned import planned

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
    """What a run came to: an exit code, why, and the activation it worked on; `embedded`: its vectors are made, too."""

    run_id: str
    exit_code: int
    error: str | None
    activation: Activation | None
    rejects: dict[str, int]
    dry_run: bool
    embedded: bool = False


def as_json(name: str, outcome: Outcome) -> dict[str, Any]:
    """One object: what happened, its counts, its error."""
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
    """Some lines for a terminal."""
    activation = outcome.activation
    if activation is None:
        return f"run {outcome.run_id} is done"
    if outcome.dry_run:
        return "\n".join(planned(name, activation, outcome.rejects))
    return "\n".join(_done(name, outcome))


def _done(name: str, outcome: Outcome) -> list[str]:
    done = outcome.activation
    assert done is not None
    lines = [f"\nactivation {done.activation_id} of {name!r} is {done.state} (run {outcome.run_id})", *_read(outcome)]
    changed = (done.inserted or 0) + (done.updated or 0) + (done.touched or 0) + (done.tombstoned or 0)
    if not changed:
        lines.append("  nothing changed in core.items")
    lines.append(
        f"  core.items: {done.inserted:,} inserted, {done.updated:,} updated, {done.touched:,} touched, "
        f"{done.unchanged:,} unchanged, {done.stale:,} stale"
    )
    if done.missing:
        kept = f"{done.tombstoned:,} of them are marked as deleted" if done.tombstoned else "they are kept"
        lines.append(f"  {done.missing:,} items of this branch are not in this activation; {kept}")
    lines.append(f"  embeddings: {done.requests:,} requested")
    return [*lines, "", *_next_steps(name, outcome)]


def _read(outcome: Outcome) -> list[str]:
    activation = outcome.activation
    assert activation is not None
    read, valid, rejected = (activation.rows_read or 0, activation.valid or 0, activation.rejected or 0)
    lines = [f"  read {read:,} rows: {valid:,} valid, {rejected:,} rejected"]
    lines += [f"  columns: {change}" for change in activation.reported_drift]
    if activation.carried:
        lines.append(f"  carried forward: {activation.carried:,} rows that are as they were, not normalized again")
    if outcome.rejects:
        lines.append("  rejected: " + ", ".join(f"{code} {count:,}" for code, count in outcome.rejects.items()))
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
