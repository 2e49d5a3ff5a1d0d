"""`ingest search`: items near a text in meaning, by the active model."""

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ingest_project.branches import registry
from ingest_project.cli.completion import branch_names
from ingest_project.errors import UsageError
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated

if TYPE_CHECKING:
    from ingest_project.embeddings.search import Hit, Near

_COORDINATES = 2


@click.command("search")
@click.argument("text")
@click.option("--branch", shell_complete=branch_names, help="Only items of this branch.")
@click.option("--country", help="Only items of this country, ISO 3166-1 alpha-2.")
@click.option("--near", metavar="LAT,LON", help="Only items near this place; with --km.")
@click.option("--km", type=click.FloatRange(min=0, min_open=True), help="How near, in kilometres [default: 10].")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many items.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: one object a line.")
def search_command(
    text: str,
    *,
    branch: str | None,
    country: str | None,
    near: str | None,
    km: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find the items nearest to TEXT, nearest first: distance 0 is the same text, 1 has nothing in common.

    Example: ingest search "quiet café near the harbour" --country DE --limit 5
    """
    from ingest_project.embeddings.search import Filters, search

    if not text.strip():
        raise UsageError("there is no text to search for", todo='Say what is looked for: ingest search "quiet café"')
    place, code = _place(near, km), _country(country)
    ensure_migrated()
    with session() as connection:
        branch_id = registry.get_branch(connection, branch).branch_id if branch else None
        filters = Filters(branch_id, code, place)
        model, hits = search(connection, text, filters, limit=limit)
    if as_json:
        for hit in hits:
            click.echo(json.dumps(asdict(hit), default=str, ensure_ascii=False))
        return
    for hit in hits:
        click.echo("\n".join(_lines(hit)))
    if not hits:
        is_filtered = any(value is not None for value in (branch, code, place))
        todo = "the same without --branch, --country, --near; " if is_filtered else ""
        message = f"nothing found by model {model.model_id} ({model.label})"
        click.echo(f"{message}; next: {todo}ingest model list   (is it filled?)", err=True)


def _country(code: str | None) -> str | None:
    # Any two letters: some codes that are in use are not in the standard, such as Kosovo's.
    if code is None or re.fullmatch(r"[A-Za-z]{2}", code):
        return code.upper() if code else None
    raise UsageError(f"--country {code!r} is no country code", todo="Write its two letters: --country DE")


def _place(near: str | None, km: float | None) -> "Near | None":
    from ingest_project.embeddings.search import Near

    if near is None:
        if km is not None:
            raise UsageError("--km goes with --near LAT,LON")
        return None
    try:
        numbers = [float(part) for part in near.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != _COORDINATES or not (abs(numbers[0]) <= 90 and abs(numbers[1]) <= 180):  # noqa: PLR2004 - degrees
        raise UsageError(f"--near {near!r} is no place", todo="Write degrees north and east: --near 54.32,10.13")
    return Near(numbers[0], numbers[1], 10.0 if km is None else km)


def _lines(hit: "Hit") -> list[str]:
    street = " ".join(part for part in (hit.street, hit.house_number) if part)
    where = ", ".join(part for part in (street, hit.locality, hit.country_code) if part)
    old = "" if hit.is_current else "   (of an earlier text)"
    return [
        f"{hit.distance:.3f}  {hit.name}" + (f"  [{hit.category}]" if hit.category else "") + old,
        f"       {where or '-'}   {hit.branch} {hit.external_id}, activation {hit.activation_id}",
    ]
