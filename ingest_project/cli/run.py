"""`ingest run`: one branch, through Dagster, in this process."""

import json
from typing import TYPE_CHECKING, Any

import click

from ingest_project.branches import activations, registry
from ingest_project.cli import progress
from ingest_project.cli.completion import names_and_files
from ingest_project.cli.failed import dagster_errors_explained, failure_of
from ingest_project.cli.guessed import guessing_options
from ingest_project.cli.summary import Outcome, summary
from ingest_project.cli.summary import as_json as summary_as_json
from ingest_project.cli.target import branch_for
from ingest_project.cli.terminal import json_option, print_error
from ingest_project.extract.snapshot import moved_since
from ingest_project.normalize.quarantine import reject_codes
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.upsert.rollback import branch_of

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult


@click.command()
@click.argument("target", metavar="NAME|FILE", shell_complete=names_and_files, required=False)
@click.option("--batch-size", type=click.IntRange(1, 1_000_000), help="Rows per part [default: 50,000].")
@click.option("--dry-run", is_flag=True, help="Say what would change; write nothing to core.")
@click.option("--activation", type=click.IntRange(1), help="Work on this activation instead of the open one.")
@click.option("--plan", type=click.IntRange(1), help="Apply this saved plan exactly, or refuse; needs no NAME.")
@json_option
@guessing_options
def run(
    target: str | None,
    *,
    batch_size: int | None,
    dry_run: bool,
    activation: int | None,
    plan: int | None,
    as_json: bool,
    **guessing: Any,
) -> int:
    """Ingest the branch NAME as it is now; resumes what an earlier run left open.

    With a FILE, a glob, a folder or a URL instead, a branch is registered for it first, guessed from its columns.

    \b
    Example: ingest run places --dry-run
             ingest run places.csv --key id
    """  # noqa: D301 - click's mark for a paragraph that is not rewrapped is a real backspace
    options: dict[str, Any] = {"batch_size": batch_size, "dry_run": dry_run, "activation": activation}
    return _ingest(_target(plan, target, options), guessing, **options, plan=plan, as_json=as_json)


def _target(plan: int | None, target: str | None, options: dict[str, Any]) -> str:
    if plan is None and target:
        return target
    if plan is None or any(options.values()):
        raise click.UsageError("give NAME or FILE; or --plan alone, which says what is applied")
    ensure_migrated()
    with session() as connection:
        name = branch_of(connection, plan)
    if target not in (None, name):
        raise click.UsageError(f"plan {plan} is one of {name!r}")
    return name


@click.command()
@click.argument("target", metavar="NAME|FILE", shell_complete=names_and_files)
@click.option("--save", is_flag=True, help="Keep the plan: `ingest run --plan N` applies exactly that, or refuses.")
@json_option
@guessing_options
def plan(target: str, *, save: bool, as_json: bool, **guessing: Any) -> int:
    """Say what a run would change in core.items, and write nothing there: the same as run --dry-run.

    Example: ingest plan places.csv --key id
    """
    return _ingest(target, guessing, dry_run=True, save=save, as_json=as_json)


def _ingest(
    target: str,
    guessing: dict[str, Any],
    *,
    batch_size: int | None = None,
    dry_run: bool,
    activation: int | None = None,
    save: bool = False,
    plan: int | None = None,
    as_json: bool,
) -> int:
    name = branch_for(target, **guessing)
    outcome = run_branch(name, batch_size=batch_size, dry_run=dry_run, activation=activation, save=save, plan=plan)
    if activation is None and plan is None and is_earlier_state(name, outcome):
        click.echo("that was an earlier state of the branch, left half applied; now as it is now", err=True)
        outcome = run_branch(name, batch_size=batch_size)
    tell(name, outcome, as_json=as_json)
    return outcome.exit_code


def tell(name: str, outcome: Outcome, *, as_json: bool = False) -> None:
    """Print what a run came to: results on stdout, errors on stderr."""
    if as_json:
        click.echo(json.dumps(summary_as_json(name, outcome)))
    elif outcome.exit_code:
        print_error(outcome.error)
    else:
        click.echo(summary(name, outcome))


def is_earlier_state(name: str, outcome: Outcome) -> bool:
    """Whether the run succeeded and yet only finished an activation whose source has changed since."""
    if outcome.exit_code or outcome.dry_run or outcome.activation is None:
        return False
    if outcome.activation.kind == "replay":
        return True
    with session() as connection:
        return moved_since(registry.get_branch(connection, name), outcome.activation) is not None


def run_branch(
    name: str,
    *,
    batch_size: int | None = None,
    dry_run: bool = False,
    activation: int | None = None,
    save: bool = False,
    plan: int | None = None,
) -> Outcome:
    """Run the job ingest_branch for a registered branch, on a migrated schema. Raises BranchUnknown."""
    with session() as connection:
        branch = registry.get_branch(connection, name)
    options = {"batch_size": batch_size, "dry_run": dry_run, "activation": activation, "save": save, "plan": plan}
    return _outcome(_execute("ingest_branch", name, options), branch.branch_id, dry_run=dry_run)


def embed_branch(name: str) -> str | None:
    """Run the job embed_branch for a registered branch; returns the error text if it failed."""
    result = _execute("embed_branch", name, {})
    return None if result.success else failure_of(result)[1]


def _execute(job: str, name: str, options: dict[str, Any]) -> "ExecuteInProcessResult":
    from ingest_project.cli.instance import dagster_instance
    from ingest_project.definitions import defs
    from ingest_project.defs.partitions import ensure_partition

    with dagster_errors_explained(), dagster_instance() as instance, progress.displayed():
        ensure_partition(instance, name)
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=name,
            run_config=_run_config(options),
            tags={"ingest/branch": name},
            raise_on_error=False,
        )


def _run_config(options: dict[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in options.items() if value is not None}
    return {
        "resources": {"ingest": {"config": config}},
        # The terminal shows the lines of this command; Dagster's event log has the rest.
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def _outcome(result: "ExecuteInProcessResult", branch_id: int, *, dry_run: bool) -> Outcome:
    code, error = (0, None) if result.success else failure_of(result)
    with session() as connection:
        newest = activations.newest(connection, branch_id, 3)
        activation = next((one for one in newest if one.claimed_by == result.run_id), None)
        rejects = reject_codes(connection, activation.activation_id) if activation else {}
    return Outcome(result.run_id, code, error, activation, rejects, dry_run)
