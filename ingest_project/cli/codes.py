"""`ingest codes`: what every code means, and what a person can do about it."""

import json

import click

from ingest_project.cli.terminal import json_option
from ingest_project.codes import ALL, as_markdown
from ingest_project.errors import UsageError


@click.command()
@click.argument("code", required=False)
@click.option("--markdown", is_flag=True, help="The page of the documentation.")
@json_option
def codes(code: str | None, *, markdown: bool, as_json: bool) -> None:
    """Say what every code of rejects, issues and gates means, or what CODE does, and what to do about it.

    Example: ingest codes mojibake_repaired
    """
    if code is not None and not any(code in table for table in ALL.values()):
        raise UsageError(f"there is no code {code!r}", todo="`ingest codes` lists all of them.")
    entries = [
        {"kind": kind, "code": name, "meaning": entry.meaning, "to_do": entry.remedy}
        for kind, table in ALL.items()
        for name, entry in table.items()
        if code in (None, name)
    ]
    if as_json:
        click.echo(json.dumps(entries))
    elif markdown:
        click.echo(as_markdown(), nl=False)
    else:
        for entry in entries:
            click.echo(f"{entry['kind']:<7} {entry['code']}: {entry['meaning']}; to do: {entry['to_do']}")
