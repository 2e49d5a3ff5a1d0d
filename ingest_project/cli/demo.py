"""`ingest demo`: a sample branch, from nothing to core.items."""

import click

from ingest_project.branches.spec import load_spec
from ingest_project.cli.branch import apply_spec
from ingest_project.cli.run import run_branch, tell
from ingest_project.cli.terminal import json_option
from ingest_project.sample import SPEC, write_demo
from ingest_project.settings import settings


@click.command()
@click.option(
    "--rows",
    type=click.IntRange(1),
    help="Generate so many rows, with the usual dirt [default: the shipped places].",
)
@json_option
def demo(rows: int | None, *, as_json: bool) -> int:
    """Ingest a sample of real places, so that there is something to look at. A second time changes nothing.

    Example: ingest demo --rows 1000000
    """
    folder = settings().home.expanduser().absolute() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    write_demo(folder / "places.csv", rows)
    spec = load_spec(SPEC).model_copy(update={"location": str(folder / "places.csv")})
    apply_spec(spec)
    click.echo(f"branch {spec.name!r}: {spec.location}", err=True)
    outcome = run_branch(spec.name)
    tell(spec.name, outcome, as_json=as_json)
    return outcome.exit_code
