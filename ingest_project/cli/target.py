"""The target of `ingest run`: the name of a branch, or data for which a branch is registered first."""

import shlex

import click

from ingest_project.branches import registry
from ingest_project.cli.branch import apply_spec
from ingest_project.cli.guessed import absolute_location, default_name, guess_branch, is_location
from ingest_project.errors import UsageError
from ingest_project.extract.location import refuse_undecodable
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated


def branch_for(
    target: str,
    *,
    name: str | None,
    key: str | None,
    updated_at: str | None,
    maps: tuple[str, ...],
    settings: tuple[str, ...],
) -> str:
    """The name of the target's branch; registers one for data that has none. Raises BranchUnknown, UsageError."""
    has_options = bool(key or updated_at or maps or settings)
    refuse_undecodable(target)
    ensure_migrated()
    with session() as connection:
        branch = registry.find_branch(connection, target)
        if branch or not is_location(target):
            branch = branch or registry.get_branch(connection, target)
            return _without_options(branch.name, has_options=has_options or bool(name))
        existing = registry.find_branch(connection, name or default_name(target))
    if existing and existing.spec.location != absolute_location(target):
        raise UsageError(
            f"branch {existing.name!r} is there already, for {existing.spec.location}",
            todo="Give this one a name of its own (--name NAME); or is it that branch, moved? Then change `location`: "
            f"`ingest branch show {shlex.quote(existing.name)} > FILE`, edit, `ingest branch apply FILE`.",
        )
    if existing and not has_options:
        return existing.name
    guessed = guess_branch(target, name=name, key=key, updated_at=updated_at, maps=maps, settings=settings)
    change = apply_spec(guessed.spec)
    click.echo(f"branch {guessed.spec.name!r} {change}:\n{guessed.as_table()}\n", err=True)
    return guessed.spec.name


def _without_options(name: str, *, has_options: bool) -> str:
    if has_options:
        raise UsageError(
            f"{name!r} is a registered branch: its file says what its columns are",
            todo=f"`ingest branch show {shlex.quote(name)}` prints it; change it and `ingest branch apply FILE`.",
        )
    return name
