"""`ingest model`: by what items are embedded; a new one is filled beside the old one and takes its place."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click

from ingest_project.cli.groups import ToldGroup
from ingest_project.cli.terminal import json_option
from ingest_project.embeddings import models, vectors
from ingest_project.embeddings.models import Coverage, Declared, Model
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.errors import UsageError
from ingest_project.item import embeddable_fields
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated


@click.group(cls=ToldGroup)
def model() -> None:
    """Add, fill, switch and retire the models that items are embedded by."""


@model.command("add")
@click.argument("name", metavar="PROVIDER/MODEL")
@click.option("--dims", type=click.IntRange(1, 16_000), required=True, help="Dimensions of its vectors.")
@click.option("--version", default="1", show_default=True, help="Another version is another model.")
@click.option("--fields", help="Item fields that it embeds, comma-separated [default: all that can be].")
@click.option("--base-url", help="Endpoint of an OpenAI-compatible server.")
@click.option("--base-url-env", metavar="VARIABLE", help="Environment variable that holds the endpoint.")
@click.option("--key-env", metavar="VARIABLE", help="Environment variable that holds the API key.")
@click.option("--folder", help="Folder with the files of a fastembed model [default: its hub].")
@click.option("--token-limit", type=click.IntRange(1), help="Tokens that it takes of one text; longer ones are cut.")
@click.option("--usd-per-million-tokens", type=float, help="What its provider asks, for estimates.")
@click.option("--half-precision", is_flag=True, default=None, help="Index in half precision: half its size.")
@json_option
def add_command(name: str, *, dims: int, version: str, fields: str | None, as_json: bool, **options: Any) -> None:
    """Add a model (of provider builtin, openai or fastembed); it is filled beside the active one.

    Keys are never given here: only the names of the environment variables that hold them.

    Example: ingest model add openai/text-embedding-3-small --dims 1536 --key-env OPENAI_API_KEY
    """
    declared = _declared(name, dims, version, fields, options)
    ensure_migrated()
    with session() as connection:
        found, change = models.add_model(connection, declared)
        made = reconcile(connection, model=found)
        indexed = vectors.can_be_indexed(found)
    asked = made.missing + made.changed
    lines = [f"model {found.model_id} ({found.label}) {change}: {asked:,} requests made"]
    if not indexed:
        lines.append(f"  {found.dims} dimensions are too many for an index: searches by it will read all vectors")
    lines.append(f"next: ingest embed run; ingest model list; then: ingest model activate {found.model_id}")
    _print({"model": found.model_id, "change": change, "requests": asked, "can_be_indexed": indexed}, lines, as_json)


@contextmanager
def _named(wanted: str) -> Generator[tuple[Connection, Model]]:
    ensure_migrated()
    with session() as connection:
        yield connection, models.find_model(connection, wanted)


def _print(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    click.echo(json.dumps(result) if as_json else "\n".join(lines))


def _declared(name: str, dims: int, version: str, fields: str | None, options: dict[str, Any]) -> Declared:
    provider, _, called = name.partition("/")
    if not called:
        raise UsageError(f"{name!r} names no model", todo="Write PROVIDER/MODEL, such as builtin/lexical-hashing.")
    template = tuple(part.strip() for part in fields.split(",")) if fields else embeddable_fields()
    parsed = models.parse_options(options)
    return Declared(models.known_provider(provider), called, dims, version, template, parsed)


@model.command("list")
@json_option
def list_command(*, as_json: bool) -> None:
    """All models: which one answers searches, and how far the others are filled.

    Example: ingest model list
    """
    ensure_migrated()
    with session() as connection:
        found = [_state(connection, one) for one in models.list_models(connection)]
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        click.echo("\n".join(_lines(one)))


def _state(connection: Connection, one: Model) -> dict[str, Any]:
    kept = one.state != "retired"
    covered = models.coverage(connection, one) if kept else Coverage(0, 0, 0, 0)
    return {
        "model": one.model_id,
        "name": one.label,
        "version": one.version,
        "dims": one.dims,
        "template": one.template,
        "template_version": one.template_version,
        "state": one.state,
        "options": one.options.model_dump(exclude_defaults=True),
        "indexed": vectors.is_indexed(connection, one),
        **(
            {"items": covered.wanted, "done": covered.done, "waiting": covered.waiting, "dead": covered.dead}
            if kept
            else {}
        ),
        "coverage": round(covered.ratio, 4) if kept else None,
    }


def _lines(one: dict[str, Any]) -> list[str]:
    head = (
        f"{one['model']}  {one['name']}  version {one['version']}, {one['dims']} dims, "
        f"template {one['template_version']}   {one['state']}{', indexed' if one['indexed'] else ''}"
    )
    if one["coverage"] is None:
        return [head]
    # Rounded down: 100 % is said of all or of none.
    percent = int(1000 * one["done"] / one["items"]) / 10 if one["items"] else 100.0
    lines = [
        head,
        f"   {one['done']:,} of {one['items']:,} items embedded ({percent:.1f} %), {one['waiting']:,} waiting, "
        f"{one['dead']:,} dead",
    ]
    if one["state"] == "filling":
        ready = one["done"] == one["items"]
        step = f"ingest model activate {one['model']}" if ready else "ingest embed run"
        lines.append(f"   next: {step}, or ingest model retire {one['model']}")
    return lines


@model.command("activate")
@click.argument("wanted", metavar="MODEL")
@click.option("--force", is_flag=True, help="Although items lack its vectors: searches will not find those.")
@json_option
def activate_command(wanted: str, *, force: bool, as_json: bool) -> None:
    """Switch searches to MODEL (its number, or its name), at once for all of them.

    Example: ingest model activate 1
    """
    with _named(wanted) as (connection, found):
        before = models.active_model(connection)
        models.activate_model(connection, found, force=force)
    lines = [f"model {found.model_id} ({found.label}) answers searches from now on"]
    if before and before.model_id != found.model_id:
        lines.append(
            f"model {before.model_id} ({before.label}) is kept filled, to go back to; "
            f"next: ingest model retire {before.model_id}"
        )
    _print({"model": found.model_id, "before": before.model_id if before else None}, lines, as_json)


@model.command("retire")
@click.argument("wanted", metavar="MODEL")
@click.option("--keep-vectors", is_flag=True, help="They are used again should the model be added again.")
@json_option
def retire_command(wanted: str, *, keep_vectors: bool, as_json: bool) -> None:
    """End MODEL: drop its requests and its vectors. The active one cannot be retired.

    Example: ingest model retire 2
    """
    with _named(wanted) as (connection, found):
        dropped = models.retire_model(connection, found, keep_vectors=keep_vectors)
    kept = "its vectors are kept" if keep_vectors else "its vectors are gone"
    said = f"model {found.model_id} ({found.label}) is retired: {dropped:,} requests dropped, {kept}"
    _print({"model": found.model_id, "requests_dropped": dropped, "vectors_kept": keep_vectors}, [said], as_json)


@model.command("index")
@click.argument("wanted", metavar="MODEL")
@click.option("--drop", is_flag=True, help="Take it away, for example before most vectors are replaced.")
@json_option
def index_command(wanted: str, *, drop: bool, as_json: bool) -> None:
    """Build the index over the vectors of MODEL, while workers and searches go on.

    The asset item_embeddings builds it by itself, from 20,000 vectors on, once nothing waits.

    Example: ingest model index 1
    """
    from ingest_project.embeddings.queue import require_vectors

    with _named(wanted) as (connection, found):
        require_vectors(connection)
        if drop:
            vectors.drop_index(connection, found)
        count = vectors.count_vectors(connection, found) if drop else vectors.index_vectors(connection, found)
    said = (
        f"the index of model {found.model_id} is gone: searches read all of its {count:,} vectors"
        if drop
        else f"model {found.model_id} ({found.label}) is indexed: {count:,} vectors"
    )
    _print({"model": found.model_id, "indexed": not drop, "vectors": count}, [said], as_json)
