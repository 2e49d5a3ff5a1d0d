"""`ingest db`: where Postgres is, and its schema."""

import json
import shutil
import signal
import subprocess

import click

from ingest_project.cli.groups import OrderedGroup
from ingest_project.cli.terminal import json_option
from ingest_project.postgres import embedded
from ingest_project.postgres.connection import database_url, redacted
from ingest_project.postgres.migrations import migrate
from ingest_project.settings import settings


@click.group(cls=OrderedGroup)
def db() -> None:
    """Where Postgres is, and its schema."""


@db.command()
@click.option("--show-password", is_flag=True, help="Print the URL as it is, for psql.")
@json_option
def url(*, show_password: bool, as_json: bool) -> None:
    """Print the URL of the database in use. The embedded server runs only while something of ours does.

    Example: pg_dump "$(ingest db url --show-password)"
    """
    shown = database_url() if show_password else redacted(database_url())
    result = {"url": shown, "embedded": settings().database_url is None}
    click.echo(json.dumps(result) if as_json else shown)


@db.command("migrate")
@json_option
def migrate_command(*, as_json: bool) -> None:
    """Bring the schema to this version; safe to repeat, and at the same time from many places.

    Example: ingest db migrate
    """
    revision = migrate()
    click.echo(json.dumps({"revision": revision}) if as_json else f"schema is at revision {revision}")


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> int:
    """Open psql on the database in use; the embedded server stays up as long as it is open.

    Example: ingest db psql -c "select name, locality from core.items limit 5"
    """
    program = shutil.which("psql") or str(embedded.bin_path() / "psql")
    command = [program, "-d", database_url(), *arguments]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's own: there it ends a query, not the session
    return subprocess.call(command)  # noqa: S603 - psql, on the user's behalf
