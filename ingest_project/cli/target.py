"""What `ingest run` is given: the name of a branch, or data that a branch is made for."""

import shlex

import click

from ingest_project.branches import registry
from ingest_project.cli.branch import apply_spec
from ingest_project.cli.guessed import anchored, guessed, is_location, name_of
from ingest_project.errors import UsageError
from ingest_project.extract.location import refuse_undecodable
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated


def registered(
    target: str,
    *,
    name: str | None,
    key: str | None,
    updated_at: str | None,
    maps: tuple[str, ...],
    settings: tuple[str, ...],
) -> str:
    """The branch that these words name; one is made for a location that none has. Raises BranchUnknown, UsageError."""
    has_options = bool(key or updated_at or maps or settings)
    refuse_undecodable(target)
    ensure_migrated()
    with session() as connection:
        found = registry.find_branch(connection, target)
        if found or not is_location(target):
            branch = found or registry.get_branch(connection, target)
            return _as_its_file_says(branch.name, has_options=has_options or bool(name))
        known = registry.find_branch(connection, name or name_of(target))
    if known and known.spec.location != anchored(target):
        raise UsageError(
            f"branch {known.name!r} is there already, for {known.spec.location}",
            todo="Give this one a name of its own (--name NAME); or is it that branch, moved? Then change `location`: "
            f"`ingest branch show {shlex.quote(known.name)} > FILE`, edit, `ingest branch apply FILE`.",
        )
    if known and not has_options:
        return known.name
    made = guessed(target, name=name, key=key, updated_at=updated_at, maps=maps, settings=settings)
    change = apply_spec(made.spec)
    click.echo(f"branch {made.spec.name!r} {change}:\n{made.shown()}\n", err=True)
    return made.spec.name


def _as_its_file_says(name: str, *, has_options: bool) -> str:
    if has_options:
        raise UsageError(
            f"{name!r} is a registered branch: its file says what its columns are",
            todo=f"`ingest branch show {shlex.quote(name)}` prints it; change it and `ingest branch apply FILE`.",
        )
    return name
