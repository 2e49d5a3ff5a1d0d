"""`ingest demo`: a sample branch, from nothing to core.items."""

from dataclasses import replace

import click

from ingest_project.branches.spec import load_spec
from ingest_project.cli.branch import apply_spec
from ingest_project.cli.run import embed_branch, run_branch, tell
from ingest_project.cli.terminal import json_option, print_error
from ingest_project.errors import VectorsMissing
from ingest_project.postgres.connection import session
from ingest_project.sample import SPEC, write_demo
from ingest_project.settings import settings

_MOST_EMBEDDED = 20_000  # rows; their vectors take a few seconds


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
    embeds = outcome.exit_code == 0 and (rows or 0) <= _MOST_EMBEDDED
    tell(spec.name, replace(outcome, embedded=embeds and _embed(spec.name)), as_json=as_json)
    return outcome.exit_code


def _embed(name: str) -> bool:
    """Make the vectors, if only the built-in model does, which costs nothing; returns whether they were made."""
    from ingest_project.embeddings.models import working_models
    from ingest_project.embeddings.queue import require_vectors

    with session() as connection:
        try:
            require_vectors(connection)
        except VectorsMissing as error:
            click.echo(f"no vectors: {error}", err=True)
            return False
        is_free = all(model.provider == "builtin" for model in working_models(connection))
    error = embed_branch(name) if is_free else None
    if error:
        print_error(error)
    return is_free and not error
