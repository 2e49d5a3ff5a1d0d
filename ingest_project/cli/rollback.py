"""`ingest rollback`: an activation undone."""

import json
import shlex
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from uuid import uuid4

import click
import psycopg

from ingest_project.branches import activations, registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.cli import progress
from ingest_project.cli.terminal import json_option
from ingest_project.embeddings.ledger import Derived, derive_requests
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.telemetry import log
from ingest_project.upsert.rollback import Undo, begin, branch_of, preview, undo_all


@click.command()
@click.argument("activation", type=click.IntRange(1))
@click.option("--dry-run", is_flag=True, help="Say what would be undone; write nothing.")
@json_option
def rollback(activation: int, *, dry_run: bool, as_json: bool) -> None:
    """Undo what ACTIVATION did to core.items, whole or half applied; killed, give the same command again.

    Items that it inserted are marked as deleted; items that it updated, deleted or revived are as they were before.
    Where later activations have changed the same items, it names them and changes nothing. Touches stand.

    Example: ingest rollback 12 --dry-run
    """
    ensure_migrated()
    with session() as connection, _database_errors_explained():
        branch = registry.get_branch(connection, branch_of(connection, activation))
        result = _previewed(connection, branch, activation) if dry_run else _applied(connection, branch, activation)
    click.echo(json.dumps(result) if as_json else "\n".join(_lines(result)))


def _previewed(connection: Connection, branch: Branch, activation: int) -> dict[str, Any]:
    undo = preview(connection, branch, activations.get(connection, branch.branch_id, activation))
    return {"activation": activation, "branch": branch.name, "dry_run": True, **asdict(undo), "items": undo.items}


def _applied(connection: Connection, branch: Branch, activation: int) -> dict[str, Any]:
    held = leases.held(connection, branch.branch_id, branch.name, run_id=str(uuid4()))
    with held as lease, progress.displayed():
        work = undo_all(begin(connection, lease, branch, activation))
        derived = derive_requests(work)
    undone = activations.get(connection, branch.branch_id, activation)
    _tell_dagster(branch.name, result := _result(branch, undone, derived))
    return result


def _result(branch: Branch, undone: Activation, derived: Derived) -> dict[str, Any]:
    done = derived.work.activation
    undo = Undo(**(done.plan or {}))
    return {
        "activation": undone.activation_id,
        "kind": undone.kind,
        "branch": branch.name,
        "dry_run": False,
        "rollback": done.activation_id,
        **asdict(undo),
        "items": undo.items,
        "left": done.stale,
        "requests": derived.requests,
        "requests_dropped": derived.dropped,
    }


@contextmanager
def _database_errors_explained() -> Generator[None]:
    try:
        yield
    except psycopg.Error as error:
        from ingest_project.defs.failures import as_database_error

        raise as_database_error(error) from error


def _tell_dagster(name: str, result: dict[str, Any]) -> None:
    """Leave a mark on core_items: those who look there see why the table changed without a run."""
    from dagster import AssetObservation

    from ingest_project.cli.instance import dagster_instance

    numbers = {key: value for key, value in result.items() if isinstance(value, int | str)}
    seen = AssetObservation(asset_key="core_items", partition=name, metadata={"what": "rollback", **numbers})
    try:
        with dagster_instance() as instance:
            instance.report_runless_asset_event(seen)
    except Exception as error:
        log.warning("the rollback is done, and Dagster could not be told of it: %s", error)


def _lines(result: dict[str, Any]) -> list[str]:
    number, name = result["activation"], shlex.quote(result["branch"])
    if result["dry_run"]:
        head = f"\nrolling activation {number} of {result['branch']!r} back would undo {result['items']:,} changes:"
    else:
        head = f"\nactivation {number} of {result['branch']!r} is rolled back (by activation {result['rollback']}):"
    lines = [head, f"  {result['inserts']:,} inserts withdrawn, {result['updates']:,} updates restored"]
    lines[-1] += f", {result['tombstones']:,} deleted items revived, {result['revives']:,} revived items deleted"
    if result["touches"]:
        lines.append(f"  {result['touches']:,} touches stand: they changed no content")
    if result["conflicts"]:
        keys = ", ".join(f"{key!r} (by activation {by})" for key, by in result["changed_later"])
        more = result["conflicts"] - len(result["changed_later"])
        keys += f" and {more:,} more" if more else ""
        lines.append(f"  but it would be refused: {result['conflicts']:,} of them were changed again since: {keys}")
        _, newest = result["changed_later"][0]
        return [*lines, "", f"next: ingest rollback {newest} --dry-run   (the newest before the others)"]
    if result["dry_run"]:
        return [*lines, "", f"next: ingest rollback {number}"]
    if result["left"]:
        lines.append(f"  {result['left']:,} were changed by another activation meanwhile and stay as they are")
    lines.append(f"  embeddings: {result['requests']:,} requested, {result['requests_dropped']:,} requests dropped")
    if result["kind"] == "replay":
        return [*lines, "", f"next: mend the branch file; `ingest rejects replay {name}` takes the rows up again"]
    return [*lines, "", f"next: mend the source; `ingest run {name}` ingests it as it is then"]
