"""A plan as text for a terminal: what a run would do to core.items, column by column, old → new."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ingest_project.branches.activations import Activation
from ingest_project.cli.terminal import bold, one_line, table
from ingest_project.codes import REJECTS

_MEANING = {
    "inserted": "new keys",
    "updated": "other content, and not older",
    "touched": "same content, newer: rank and owner only, no version",
    "unchanged": "nothing is written",
    "stale": "older than what is there: nothing is written",
    "missing": "of this branch and not in this activation",
}
_SAMPLES = 36
_WIDTH = 44


def plan_lines(name: str, activation: Activation, rejects: Mapping[str, int]) -> list[str]:
    """The plan of a dry run, its rejects, and what to run next."""
    plan: dict[str, Any] = activation.plan or {}
    counts = (f"{count or 0:,}" for count in (activation.rows_read, activation.valid, activation.rejected))
    head = "dry run of {!r}, activation {}: nothing was written to core; of {} rows {} are valid, {} rejected"
    blocks = [
        [head.format(name, activation.activation_id, *counts)],
        [bold("core.items would have"), *_counts(plan)],
        _block("updates by column", ((column, count) for column, count in plan.get("by_column", {}).items())),
        _samples(plan.get("samples", [])),
        _block("models would embed", (_embedding_row(model) for model in plan.get("embedding", []))),
        _reject_lines(rejects),
        [f"the run would be blocked: {message}" for message in plan.get("blocked_by", {}).values()],
        _next(name, activation.activation_id if plan.get("saved") else None, rejects),
    ]
    return [line for block in blocks if block for line in ("", *block)]


def _reject_lines(rejects: Mapping[str, int]) -> list[str]:
    rows = (
        (code, count, REJECTS[code].meaning, f"→ {REJECTS[code].remedy}")
        for code, count in rejects.items()
        if code in REJECTS
    )
    return _block("rejects by code", rows)


def _block(title: str, rows: Iterable[tuple[object, ...]]) -> list[str]:
    text = table(rows, right=(1,))
    return [bold(title), text] if text else []


def _counts(plan: Mapping[str, Any]) -> list[str]:
    rows = [(kind, int(plan.get(kind, 0)), meaning if plan.get(kind) else "") for kind, meaning in _MEANING.items()]
    if plan.get("missing"):
        fate = "would be marked as deleted" if plan.get("tombstoned") else "would be kept"
        rows[-1] = ("missing", rows[-1][1], f"{rows[-1][2]}: {fate}")
    return [table(rows, right=(1,))]


def _samples(samples: list[Mapping[str, Any]]) -> list[str]:
    rows = [
        (sample["field"], sample["external_id"], _short(sample["old"]), "→", _short(sample["new"]))
        for sample in samples[:_SAMPLES]
    ]
    more = [f"  and {len(samples) - _SAMPLES:,} more with --json"] if len(samples) > _SAMPLES else []
    return [bold("samples of each column: key, old → new"), table(rows), *more] if rows else []


def _embedding_row(model: Mapping[str, Any]) -> tuple[object, ...]:
    price = "" if model["usd"] is None else f", about {model['usd']:,.2f} USD"
    return model["name"], model["items"], f"items, about {model['tokens']:,} tokens{price}"


def _short(value: object) -> str:
    return one_line("(none)" if value is None else str(value), _WIDTH)


def _next(name: str, saved_plan: int | None, rejects: Mapping[str, int]) -> list[str]:
    steps = [f"next: ingest run {shlex.quote(name)}   (uses the parts that are ready)"]
    if saved_plan:
        steps = [f"next: ingest run --plan {saved_plan}   (exactly what was saved, or it refuses)"]
    return [*steps, f"      ingest rejects {shlex.quote(name)}"] if rejects else steps
