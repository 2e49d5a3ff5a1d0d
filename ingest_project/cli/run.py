"""`ingest run`: one branch, through Dagster, in this process."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ingest_project.branches import activations, registry
from ingest_project.branches.activations import Activation
from ingest_project.cli import progress
from ingest_project.cli.branch import apply_spec
from ingest_project.cli.guessed import anchored, guessed, guessing_options, is_location, name_of
from ingest_project.cli.summary import as_json as summary_as_json
from ingest_project.cli.summary import summary
from ingest_project.errors import UsageError
from ingest_project.normalize.quarantine import reject_codes
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult


@dataclass(frozen=True)
class Outcome:
    """What a run came to: an exit code, why, and the activation it worked on."""

    run_id: str
    exit_code: int
    error: str | None
    activation: Activation | None
    rejects: dict[str, int]


@click.command()
@click.argument("target", metavar="NAME|FILE")
@click.option("--batch-size", type=click.IntRange(1, 1_000_000), help="Rows per part [default: 50,000].")
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing to core.")
@click.option("--activation", type=click.IntRange(1), help="Work on this activation instead of the open one.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@guessing_options
def run(
    target: str, *, batch_size: int | None, dry_run: bool, activation: int | None, as_json: bool, **said: Any
) -> int:
    """Ingest the branch NAME as it is now; resumes what an earlier run left open.

    With a FILE, a glob, a folder or a URL instead, a branch is registered for it first, guessed from its columns.

    \b
    Example: ingest run places --dry-run
             ingest run places.csv --key id
    """  # noqa: D301 - click's mark for a paragraph that is not rewrapped is a real backspace
    name = registered(target, **said)
    outcome = run_branch(name, batch_size=batch_size, dry_run=dry_run, activation=activation)
    if as_json:
        click.echo(json.dumps(summary_as_json(name, outcome)))
    elif outcome.error:
        click.echo(f"error: {outcome.error}", err=True)
    if outcome.exit_code == 0 and not as_json:
        click.echo(summary(name, outcome))
    return outcome.exit_code


def registered(target: str, *, name: str | None, key: str | None, updated_at: str | None, maps: tuple[str, ...]) -> str:
    """The branch that these words name; one is made for a location that none has. Raises BranchUnknown, UsageError."""
    told = bool(key or updated_at or maps)
    ensure_migrated()
    with session() as connection:
        found = registry.find_branch(connection, target)
        if found or not is_location(target):
            return _as_its_file_says(registry.get_branch(connection, target).name, told=told or bool(name))
        known = registry.find_branch(connection, name or name_of(target))
    if known and not told and known.spec.location == anchored(target):
        return known.name
    if known and known.spec.location != anchored(target):
        raise UsageError(
            f"branch {known.name!r} is there already, for {known.spec.location}",
            todo="Give this one a name of its own: --name NAME",
        )
    made = guessed(target, name=name, key=key, updated_at=updated_at, maps=maps)
    change = apply_spec(made.spec)
    click.echo(f"branch {made.spec.name!r} {change}:\n{made.shown()}\n", err=True)
    return made.spec.name


def _as_its_file_says(name: str, *, told: bool) -> str:
    if told:
        raise UsageError(
            f"{name!r} is a registered branch: its file says what its columns are",
            todo=f"`ingest branch show {name}` prints it; change it and `ingest branch apply FILE`.",
        )
    return name


def run_branch(
    name: str, *, batch_size: int | None = None, dry_run: bool = False, activation: int | None = None
) -> Outcome:
    """Run the job for one branch and say what it came to. Raises BranchUnknown."""
    from ingest_project.cli.instance import dagster_instance
    from ingest_project.definitions import defs
    from ingest_project.defs.partitions import ensure_partition

    ensure_migrated()
    with session() as connection:
        branch = registry.get_branch(connection, name)
    options = {"batch_size": batch_size, "dry_run": dry_run, "activation": activation}
    with dagster_instance() as instance, progress.shown():
        ensure_partition(instance, name)
        result = defs.resolve_job_def("ingest_branch").execute_in_process(
            instance=instance,
            partition_key=name,
            run_config=_run_config(options),
            tags={"ingest/branch": name},
            raise_on_error=False,
        )
    return _outcome(result, branch.branch_id)


def _run_config(options: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in options.items() if value is not None}
    return {
        "resources": {"ingest": {"config": given}},
        # Dagster's event log keeps everything; the terminal shows our own lines.
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def _outcome(result: "ExecuteInProcessResult", branch_id: int) -> Outcome:
    code, error = (0, None) if result.success else _failure(result)
    with session() as connection:
        found = [one for one in activations.newest(connection, branch_id, 3) if one.claimed_by == result.run_id]
        rejects = reject_codes(connection, found[0].activation_id) if found else {}
    return Outcome(result.run_id, code, error, found[0] if found else None, rejects)


def _failure(result: "ExecuteInProcessResult") -> tuple[int, str]:
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failed = event.step_failure_data
        told = failed.user_failure_data
        if told and "exit_code" in told.metadata:
            return int(str(told.metadata["exit_code"].value)), str(told.description)
        if failed.error:
            return 1, failed.error.to_string()
    return 1, f"run {result.run_id} did not succeed; its log is in the UI: ingest dev"
