"""`ingest demo`: a sample branch, from nothing to core.items."""

from dataclasses import replace

import click

from ingest_project.branches.spec import load_spec
from ingest_project.cli.branch import apply_spec
from ingest_project.cli.run import embed_branch, run_branch, tell
from ingest_project.cli.terminal import json_option, say_error
from ingest_project.errors import VectorsMissing
from ingest_project.postgres.connection import session
from ingest_project.sample import SPEC, write_demo
from ingest_project.settings import settings

_AT_ONCE = 20_000  # rows whose vectors take a few seconds


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
    at_once = outcome.exit_code == 0 and (rows or 0) <= _AT_ONCE
    tell(spec.name, replace(outcome, embedded=at_once and _embed(spec.name)), as_json=as_json)
    return outcome.exit_code


def _embed(name: str) -> bool:
    """Vectors, where the built-in model alone makes them: it costs nothing. Whether they are there."""
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
        say_error(error)
    return is_free and not error
