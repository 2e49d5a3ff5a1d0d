"""`ingest prune`: delete now what is older than the settings keep it."""

import json
from dataclasses import asdict

import click

from ingest_project.cli.instance import dagster_instance
from ingest_project.cli.terminal import json_option
from ingest_project.extract.store import PartStore
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.retention.prune import Policy, Pruning, prune
from ingest_project.settings import settings


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Say what would go; delete nothing.")
@json_option
def prune_command(*, dry_run: bool, as_json: bool) -> None:
    """Delete parts, history and Dagster runs that are older than the INGEST_KEEP_… settings.

    What is open or waits at a gate stays, and so does the newest ingested activation of each branch. Dagster's
    schedule `prune_daily` does the same every night.

    Example: ingest prune --dry-run
    """
    from ingest_project.defs.nightly import prune_runs

    ensure_migrated()
    with session() as connection:
        pruned = prune(connection, PartStore(settings().store_location), Policy.declared(), dry_run=dry_run)
    with dagster_instance() as instance:
        runs = prune_runs(instance, settings().keep_runs_days, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "pruned": [asdict(one) for one in pruned], "runs": runs}))
    else:
        click.echo("\n".join(_lines(pruned, runs, dry_run=dry_run)))


def _lines(pruned: list[Pruning], runs: int, *, dry_run: bool) -> list[str]:
    verb = "would go" if dry_run else "went"
    lines = [
        f"  {one.what:<8} of activation {_range(one):<14} {one.bytes / 1e6:10,.1f} MB"
        for one in sorted(pruned, key=lambda one: one.first_activation)
    ]
    total = sum(one.bytes for one in pruned) / 1e6
    return [*lines, f"{len(pruned):,} {verb}, {total:,.1f} MB; Dagster runs that {verb}: {runs:,}"]


def _range(one: Pruning) -> str:
    first, last = one.first_activation, one.last_activation
    return str(first) if first == last else f"{first} to {last}"
