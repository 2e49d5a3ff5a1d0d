"""`ingest verify`: whether what is stored is true: rows and hashes, items and ledger, ledger and vectors."""

import json
import shlex
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from ingest_project.branches import registry
from ingest_project.cli import progress
from ingest_project.cli.completion import branch_names
from ingest_project.cli.terminal import json_option
from ingest_project.embeddings.reconcile import Differences, reconcile
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated

if TYPE_CHECKING:
    from ingest_project.upsert.altered import Altered

_SHOWN = 10
_AT_ONCE = 5_000
_MEANING = {
    "missing": "items have no request",
    "changed": "requests are for an earlier text",
    "unwanted": "requests are for items that are deleted or not to be embedded, or for retired models",
    "moved": "requests are filed under a branch that no longer owns the item",
    "lost": "requests are done and their vector is not there",
    "found": "requests wait although their vector is there",
    "orphans": "vectors have no request",
}


@click.command()
@click.argument("name", required=False, shell_complete=branch_names)
@click.option("--repair", is_flag=True, help="Mend what is found.")
@json_option
def verify(name: str | None, *, repair: bool, as_json: bool) -> int:
    """Compare everything, or the branch NAME: rows with their hashes, items with the ledger, the ledger with vectors.

    Ends with 1 where something is found and not repaired.

    Example: ingest verify places --repair
    """
    ensure_migrated()
    with session() as connection, progress.displayed():
        branch_id = registry.get_branch(connection, name).branch_id if name else None
        shown, count, mended = _rows(connection, branch_id, repair=repair)
        found = reconcile(connection, repair=repair, branch_id=branch_id)
    result = {
        "altered": count,
        "mended": mended,
        "ledger": asdict(found),
        "repaired": repair,
        "examples": [{"branch": one.branch, "external_id": one.external_id} for one in shown],
    }
    click.echo(json.dumps(result) if as_json else "\n".join(_lines(result, shown, found, name)))
    return 1 if (count or found) and not repair else 0


def _rows(connection: Connection, branch_id: int | None, *, repair: bool) -> tuple[list["Altered"], int, int]:
    from ingest_project.upsert.altered import altered_items, mend

    shown: list[Altered] = []
    count = mended = 0
    altered = altered_items(connection, branch_id)
    while batch := list(islice(altered, _AT_ONCE)):
        shown += batch[: _SHOWN - len(shown)]
        count += len(batch)
        mended += mend(connection, batch) if repair else 0
    return shown, count, mended


def _lines(result: dict[str, Any], shown: list["Altered"], found: Differences, name: str | None) -> list[str]:
    lines = [_of_rows(result)]
    lines += [f"    {one.branch} {one.external_id}" for one in shown]
    differing = {key: value for key, value in asdict(found).items() if value}
    lines += [f"{value:,} {_MEANING[key]}" for key, value in differing.items()]
    if not differing:
        lines.append("ledger and vectors: as the items want them")
    return [*lines, _next(result, shown, found, name)]


def _of_rows(result: dict[str, Any]) -> str:
    if not result["altered"]:
        return "rows of core.items: they say what their hashes say"
    return f"{result['altered']:,} rows of core.items were changed by hand: they do not say what their hashes say"


def _next(result: dict[str, Any], shown: list["Altered"], found: Differences, name: str | None) -> str:
    if not result["altered"] and not found:
        return "nothing to do"
    if not result["repaired"]:
        return f"next: ingest verify {shlex.quote(name) + ' ' if name else ''}--repair"
    if result["altered"]:
        branches = ", ".join(f"ingest run {shlex.quote(one)}" for one in sorted({one.branch for one in shown}))
        return f"repaired; the hashes are those of the rows now. To have what the source says: {branches}"
    return "repaired; next: ingest embed run"
