"""A plan as a table on a terminal: what a run would do to core.items, column by column, old → new."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ingest_project.branches.activations import Activation
from ingest_project.cli.terminal import one_line, strong, table
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


def planned(name: str, activation: Activation, rejects: Mapping[str, int]) -> list[str]:
    """Lines for a terminal."""
    plan: dict[str, Any] = activation.plan or {}
    read = (f"{count or 0:,}" for count in (activation.rows_read, activation.valid, activation.rejected))
    head = "dry run of {!r}, activation {}: nothing was written to core; of {} rows {} are valid, {} rejected"
    blocks = [
        [head.format(name, activation.activation_id, *read)],
        [strong("core.items would have"), *_counts(plan)],
        _block("updates by column", ((column, count) for column, count in plan.get("by_column", {}).items())),
        _samples(plan.get("samples", [])),
        _block("models would embed", (_embedded(one) for one in plan.get("embedding", []))),
        rejected(rejects),
        [f"the run would be blocked: {message}" for message in plan.get("blocked_by", {}).values()],
        _next(name, activation.activation_id if plan.get("saved") else None, rejects),
    ]
    return [line for block in blocks if block for line in ("", *block)]


def rejected(rejects: Mapping[str, int]) -> list[str]:
    """Rejects by code: what each means, and what to do."""
    rows = (
        (code, count, REJECTS[code].meaning, f"→ {REJECTS[code].remedy}")
        for code, count in rejects.items()
        if code in REJECTS
    )
    return _block("rejects by code", rows)


def _block(title: str, rows: Iterable[tuple[object, ...]]) -> list[str]:
    text = table(rows, right=(1,))
    return [strong(title), text] if text else []


def _counts(plan: Mapping[str, Any]) -> list[str]:
    rows = [(kind, int(plan.get(kind, 0)), words if plan.get(kind) else "") for kind, words in _MEANING.items()]
    if plan.get("missing"):
        fate = "would be marked as deleted" if plan.get("tombstoned") else "would be kept"
        rows[-1] = ("missing", rows[-1][1], f"{rows[-1][2]}: {fate}")
    return [table(rows, right=(1,))]


def _samples(found: list[Mapping[str, Any]]) -> list[str]:
    rows = [(one["field"], one["external_id"], _short(one["old"]), "→", _short(one["new"])) for one in found[:_SAMPLES]]
    more = [f"  and {len(found) - _SAMPLES:,} more with --json"] if len(found) > _SAMPLES else []
    return [strong("samples of each column: key, old → new"), table(rows), *more] if rows else []


def _embedded(one: Mapping[str, Any]) -> tuple[object, ...]:
    price = "" if one["usd"] is None else f", about {one['usd']:,.2f} USD"
    return one["name"], one["items"], f"items, about {one['tokens']:,} tokens{price}"


def _short(value: object) -> str:
    return one_line("(none)" if value is None else str(value), _WIDTH)


def _next(name: str, saved: int | None, rejects: Mapping[str, int]) -> list[str]:
    steps = [f"next: ingest run {shlex.quote(name)}   (uses the parts that are ready)"]
    if saved:
        steps = [f"next: ingest run --plan {saved}   (exactly what was saved, or it refuses)"]
    return [*steps, f"      ingest rejects {shlex.quote(name)}"] if rejects else steps
