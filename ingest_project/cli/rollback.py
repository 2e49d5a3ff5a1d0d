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
from ingest_project.branches.registry import Branch
from ingest_project.cli import progress
from ingest_project.cli.terminal import json_option
from ingest_project.embeddings.ledger import Derived, derive_requests
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import Lease
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.telemetry import correlated, log
from ingest_project.upsert.rollback import Undo, begin, branch_of, look, undo_all


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
        told = _looked(connection, branch, activation) if dry_run else _undone(connection, branch, activation)
    click.echo(json.dumps(told) if as_json else "\n".join(_lines(told)))


def _looked(connection: Connection, branch: Branch, activation: int) -> dict[str, Any]:
    undo = look(connection, branch, activations.get(connection, branch.branch_id, activation))
    return {"activation": activation, "branch": branch.name, "dry_run": True, **asdict(undo), "items": undo.items}


def _undone(connection: Connection, branch: Branch, activation: int) -> dict[str, Any]:
    with _leased(connection, branch) as lease, progress.shown():
        work = undo_all(begin(connection, lease, branch, activation))
        derived = derive_requests(work)
    _tell_dagster(branch.name, told := _told(branch, activation, derived))
    return told


def _told(branch: Branch, activation: int, derived: Derived) -> dict[str, Any]:
    done = derived.work.activation
    undo = Undo(**(done.plan or {}))
    return {
        "activation": activation,
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


@contextmanager
def _leased(connection: Connection, branch: Branch) -> Generator[Lease]:
    run_id = str(uuid4())
    with correlated(run_id):
        lease = leases.acquire(connection, branch.branch_id, branch.name, holder=run_id, run_id=run_id)
        try:
            with leases.kept_alive(lease):
                yield lease
        finally:
            if not connection.closed:
                leases.release(connection, lease)


def _tell_dagster(name: str, told: dict[str, Any]) -> None:
    """Leave a mark on core_items: those who look there see why the table changed without a run."""
    from dagster import AssetObservation

    from ingest_project.cli.instance import dagster_instance

    numbers = {key: value for key, value in told.items() if isinstance(value, int | str)}
    seen = AssetObservation(asset_key="core_items", partition=name, metadata={"what": "rollback", **numbers})
    try:
        with dagster_instance() as instance:
            instance.report_runless_asset_event(seen)
    except Exception as error:
        log.warning("the rollback is done, and Dagster could not be told of it: %s", error)


def _lines(told: dict[str, Any]) -> list[str]:
    number, name = told["activation"], shlex.quote(told["branch"])
    if told["dry_run"]:
        head = f"\nrolling activation {number} of {told['branch']!r} back would undo {told['items']:,} changes:"
    else:
        head = f"\nactivation {number} of {told['branch']!r} is rolled back (by activation {told['rollback']}):"
    lines = [head, f"  {told['inserts']:,} inserts withdrawn, {told['updates']:,} updates restored"]
    lines[-1] += f", {told['tombstones']:,} deleted items revived, {told['revives']:,} revived items deleted"
    if told["touches"]:
        lines.append(f"  {told['touches']:,} touches stand: they changed no content")
    if told["conflicts"]:
        keys = ", ".join(f"{key!r} (by activation {by})" for key, by in told["changed_later"])
        more = told["conflicts"] - len(told["changed_later"])
        keys += f" and {more:,} more" if more else ""
        lines.append(f"  but it would be refused: {told['conflicts']:,} of them were changed again since: {keys}")
        _, newest = told["changed_later"][0]
        return [*lines, "", f"next: ingest rollback {newest} --dry-run   (the newest before the others)"]
    if told["dry_run"]:
        return [*lines, "", f"next: ingest rollback {number}"]
    if told["left"]:
        lines.append(f"  {told['left']:,} were changed by another activation meanwhile and stay as they are")
    lines.append(f"  embeddings: {told['requests']:,} requested, {told['requests_dropped']:,} requests dropped")
    return [*lines, "", f"next: mend the source; `ingest run {name}` ingests it as it is then"]
