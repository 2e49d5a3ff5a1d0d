"""`ingest branch`: register, guess, list, show and activate branches."""

import json
import shlex
from pathlib import Path

import click
import yaml

from ingest_project.branches import registry
from ingest_project.branches.spec import BranchSpec, load_spec
from ingest_project.cli.completion import branch_names
from ingest_project.cli.groups import OrderedGroup
from ingest_project.cli.guessed import guess_branch, guessing_options
from ingest_project.cli.terminal import json_option, table
from ingest_project.errors import UsageError
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated


@click.group(cls=OrderedGroup)
def branch() -> None:
    """Register, show and activate branches."""


@branch.command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def apply_command(file: Path, *, as_json: bool) -> None:
    """Register the branch of a YAML FILE, or bring it to what the file says now.

    Example: ingest branch apply places.yaml
    """
    spec = load_spec(file)
    change = apply_spec(spec)
    if as_json:
        click.echo(json.dumps({"branch": spec.name, "change": change}))
    else:
        click.echo(f"branch {spec.name!r} {change}; next: ingest run {shlex.quote(spec.name)}")


def apply_spec(spec: BranchSpec) -> registry.Change:
    """Apply a spec and add its Dagster partition."""
    from ingest_project.cli.instance import dagster_instance
    from ingest_project.defs.partitions import ensure_partition

    ensure_migrated()
    with session() as connection:
        change = registry.apply_branch(connection, spec)
    with dagster_instance() as instance:
        ensure_partition(instance, spec.name)
    return change


@branch.command("init")
@click.argument("location")
@click.option("--output", type=click.Path(path_type=Path), help="Write the file here [default: print it].")
@guessing_options
def init_command(
    location: str,
    *,
    output: Path | None,
    name: str | None,
    key: str | None,
    updated_at: str | None,
    maps: tuple[str, ...],
    settings: tuple[str, ...],
) -> None:
    """Write a branch file for the data at LOCATION, guessed from the names of its columns, for you to look over.

    Example: ingest branch init places.csv --output places.yaml
    """
    guessed = guess_branch(location, name=name, key=key, updated_at=updated_at, maps=maps, settings=settings)
    if output is None:
        click.echo(guessed.as_file().rstrip())
        return
    if output.exists():
        raise UsageError(f"{output} is there already; nothing was written", todo="Name another file, or remove it.")
    output.write_text(guessed.as_file(), encoding="utf-8")
    click.echo(f"{guessed.as_table()}\n\nwritten to {output}; next: ingest branch apply {output}")


@branch.command("activate")
@click.argument("name", shell_complete=branch_names)
@json_option
def activate_command(name: str, *, as_json: bool) -> None:
    """Make what the branch NAME holds now eligible, without running it.

    The same as `select ingest.activate('NAME')` in psql. Example: ingest branch activate places
    """
    ensure_migrated()
    with session() as connection:
        activation = registry.activate(connection, name)
    if as_json:
        click.echo(json.dumps({"branch": name, "activation": activation}))
    else:
        click.echo(f"activation {activation} of branch {name!r} is open; next: ingest run {shlex.quote(name)}")


@branch.command("list")
@json_option
def list_command(*, as_json: bool) -> None:
    """All branches: name, state, source, where the data is.

    Example: ingest branch list --json
    """
    ensure_migrated()
    with session() as connection:
        branches = registry.list_branches(connection)
    if as_json:
        click.echo(json.dumps([{"name": one.name, "state": one.state, **one.spec.canonical()} for one in branches]))
        return
    header = ("branch", "state", "source", "location")
    rows = [(one.name, one.state, one.spec.source, one.spec.location) for one in branches]
    if rows:
        click.echo(table([header, *rows], indent=""))
    else:
        click.echo("no branch yet; next: ingest branch apply FILE, or ingest demo", err=True)


@branch.command("show")
@click.argument("name", required=False, shell_complete=branch_names)
@json_option
@click.option("--schema", is_flag=True, help="Print the JSON schema of branch files instead.")
def show_command(name: str | None, *, as_json: bool, schema: bool) -> None:
    """The spec of the branch NAME, every default spelled out: a branch file to edit and apply.

    Example: ingest branch show places > places.yaml
    """
    if schema:
        click.echo(json.dumps(BranchSpec.model_json_schema(), indent=2))
        return
    if name is None:
        raise click.UsageError("name a branch, or ask for --schema")
    ensure_migrated()
    with session() as connection:
        spec = registry.get_branch(connection, name).spec.canonical()
    text = json.dumps(spec) if as_json else yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    click.echo(text.rstrip())
