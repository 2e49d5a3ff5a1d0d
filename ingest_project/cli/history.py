"""`ingest history`: what happened to one item, version by version."""

import json
import shlex
from dataclasses import asdict

import click

from ingest_project.branches import registry
from ingest_project.cli.completion import branch_names
from ingest_project.cli.terminal import json_option
from ingest_project.errors import UsageError
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.upsert.changes import Change, history_of

_OPERATIONS = {"i": "inserted", "u": "updated", "d": "deleted", "r": "revived"}


@click.command()
@click.argument("name", shell_complete=branch_names)
@click.argument("key")
@json_option
def history(name: str, key: str, *, as_json: bool) -> None:
    """Show what happened to the item KEY of the branch NAME, or of another branch of its source, oldest first.

    Example: ingest history demo-places P0002
    """
    ensure_migrated()
    with session() as connection:
        branch = registry.get_branch(connection, name)
        changes = history_of(connection, branch.source_id, key)
    if not changes:
        raise UsageError(
            f"core.items has no item {key!r} of source {branch.spec.source!r}",
            todo=f"Keys are those of column {branch.spec.key!r}; "
            f"`ingest rejects {shlex.quote(name)}` shows rows that are no items.",
        )
    if as_json:
        click.echo(json.dumps([asdict(change) for change in changes], default=str, ensure_ascii=False))
    else:
        click.echo("\n".join(line for change in changes for line in _lines(change)))


def _lines(change: Change) -> list[str]:
    head = (
        f"version {change.version}  {_OPERATIONS[change.op]}  {change.written_at:%Y-%m-%d %H:%M:%S} UTC  "
        f"by activation {change.activation} of {change.branch!r}"
        f"{f' (rollback of {change.undoes})' if change.undoes else ''}"
    )
    if change.op == "i":
        return [head, *(f"    {value['field']}: {value['new']!r}" for value in change.differences)]
    return [head, *(f"    {value['field']}: {value['old']!r} → {value['new']!r}" for value in change.differences)]
