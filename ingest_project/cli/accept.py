"""`ingest accept`: a person lets an activation pass the gates that it has failed."""

import getpass
import json
import shlex

import click

from ingest_project.branches import gates, registry
from ingest_project.cli.terminal import json_option
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated


@click.command()
@click.argument("activation", type=click.IntRange(1))
@click.argument("codes", metavar="CODE...", nargs=-1, required=True)
@click.option("--why", required=True, help="Kept with your name and the time.")
@click.option("--by", "who", help="Who accepts it [default: the user that you are logged in as].")
@json_option
def accept(activation: int, *, codes: tuple[str, ...], why: str, who: str | None, as_json: bool) -> None:
    """Take the blocked ACTIVATION although it fails the gates CODE; `ingest run` then goes on with it as it was read.

    Example: ingest accept 7 shrink_ratio --why "the north was sold"
    """
    if not why.strip():
        raise click.UsageError("say why: it is kept for those who ask later")
    ensure_migrated()
    with session() as connection:
        accepted = gates.accept(connection, activation, codes, why=why.strip(), who=who or _user())
        blocking = [gate.code for gate in gates.gates_of(connection, activation) if gate.blocks]
        branch = registry.name_of(connection, accepted.branch_id)
    if as_json:
        result = {"activation": activation, "branch": branch, "state": accepted.state, "blocked_by": blocking}
        click.echo(json.dumps(result))
        return
    click.echo(f"accepted: {' '.join(codes)} of activation {activation}; {_next(activation, branch, blocking)}")


def _next(activation: int, branch: str, blocking: list[str]) -> str:
    if blocking:
        codes = " ".join(blocking)
        return f"still blocked by {codes}; next: ingest accept {activation} {codes} --why '...'"
    return f"next: ingest run {shlex.quote(branch)}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user of a container may have no name
        return "unknown"
