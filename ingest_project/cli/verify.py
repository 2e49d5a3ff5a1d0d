"""`ingest verify`: whether rows match their hashes, the ledger matches the items, and the vectors match the ledger."""

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
    from ingest_project.upsert.altered import AlteredItem

_EXAMPLES = 10
_BATCH = 5_000  # rows that are mended at a time
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
        examples, count, mended = _check_rows(connection, branch_id, repair=repair)
        differences = reconcile(connection, repair=repair, branch_id=branch_id)
    result = {
        "altered": count,
        "mended": mended,
        "ledger": asdict(differences),
        "repaired": repair,
        "examples": [{"branch": item.branch, "external_id": item.external_id} for item in examples],
    }
    click.echo(json.dumps(result) if as_json else "\n".join(_lines(result, examples, differences, name)))
    return 1 if (count or differences) and not repair else 0


def _check_rows(connection: Connection, branch_id: int | None, *, repair: bool) -> tuple[list["AlteredItem"], int, int]:
    """Some of the items that do not match their hashes, how many there are, and how many of them were mended."""
    from ingest_project.upsert.altered import altered_items, repair_hashes

    examples: list[AlteredItem] = []
    count = mended = 0
    altered = altered_items(connection, branch_id)
    while batch := list(islice(altered, _BATCH)):
        examples += batch[: _EXAMPLES - len(examples)]
        count += len(batch)
        mended += repair_hashes(connection, batch) if repair else 0
    return examples, count, mended


def _lines(
    result: dict[str, Any], examples: list["AlteredItem"], differences: Differences, name: str | None
) -> list[str]:
    lines = [_rows_line(result)]
    lines += [f"    {item.branch} {item.external_id}" for item in examples]
    lines += [f"{count:,} {_MEANING[key]}" for key, count in asdict(differences).items() if count]
    if not differences:
        lines.append("ledger and vectors: as the items want them")
    return [*lines, _next(result, examples, differences, name)]


def _rows_line(result: dict[str, Any]) -> str:
    if not result["altered"]:
        return "rows of core.items: they say what their hashes say"
    return f"{result['altered']:,} rows of core.items were changed by hand: they do not say what their hashes say"


def _next(result: dict[str, Any], examples: list["AlteredItem"], differences: Differences, name: str | None) -> str:
    if not result["altered"] and not differences:
        return "nothing to do"
    if not result["repaired"]:
        return f"next: ingest verify {shlex.quote(name) + ' ' if name else ''}--repair"
    if result["altered"]:
        branches = ", ".join(
            f"ingest run {shlex.quote(branch)}" for branch in sorted({item.branch for item in examples})
        )
        return f"repaired; the hashes are those of the rows now. To have what the source says: {branches}"
    return "repaired; next: ingest embed run"
