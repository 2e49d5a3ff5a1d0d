"""`ingest model`: the models that items are embedded by; a new one is filled beside the old one and replaces it."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import click

from ingest_project.cli.groups import OrderedGroup
from ingest_project.cli.terminal import json_option
from ingest_project.embeddings import models, vectors
from ingest_project.embeddings.models import Coverage, Model, ModelSpec
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.errors import UsageError
from ingest_project.item import embeddable_fields
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated


@click.group("model", cls=OrderedGroup)
def model_group() -> None:
    """Add, fill, switch and retire the models that items are embedded by."""


@model_group.command("add")
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
        model, change = models.add_model(connection, declared)
        differences = reconcile(connection, model=model)
        can_be_indexed = vectors.can_be_indexed(model)
    requests = differences.missing + differences.changed
    lines = [f"model {model.model_id} ({model.label}) {change}: {requests:,} requests made"]
    if not can_be_indexed:
        lines.append(f"  {model.dims} dimensions are too many for an index: searches by it will read all vectors")
    lines.append(f"next: ingest embed run; ingest model list; then: ingest model activate {model.model_id}")
    result = {"model": model.model_id, "change": change, "requests": requests, "can_be_indexed": can_be_indexed}
    _print(result, lines, as_json)


@contextmanager
def _find_model(wanted: str) -> Generator[tuple[Connection, Model]]:
    """A session, and the model of this number or name."""
    ensure_migrated()
    with session() as connection:
        yield connection, models.find_model(connection, wanted)


def _print(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    click.echo(json.dumps(result) if as_json else "\n".join(lines))


def _declared(name: str, dims: int, version: str, fields: str | None, options: dict[str, Any]) -> ModelSpec:
    provider, _, model_name = name.partition("/")
    if not model_name:
        raise UsageError(f"{name!r} names no model", todo="Write PROVIDER/MODEL, such as builtin/lexical-hashing.")
    template = tuple(part.strip() for part in fields.split(",")) if fields else embeddable_fields()
    return ModelSpec(
        models.parse_provider(provider), model_name, dims, version, template, models.parse_options(options)
    )


@model_group.command("list")
@json_option
def list_command(*, as_json: bool) -> None:
    """All models: which one answers searches, and how far the others are filled.

    Example: ingest model list
    """
    ensure_migrated()
    with session() as connection:
        states = [_state(connection, model) for model in models.list_models(connection)]
    if as_json:
        click.echo(json.dumps(states))
        return
    for state in states:
        click.echo("\n".join(_lines(state)))


def _state(connection: Connection, model: Model) -> dict[str, Any]:
    coverage = models.coverage(connection, model) if model.state != "retired" else None
    return {
        "model": model.model_id,
        "name": model.label,
        "version": model.version,
        "dims": model.dims,
        "template": model.template,
        "template_version": model.template_version,
        "state": model.state,
        "options": model.options.model_dump(exclude_defaults=True),
        "indexed": vectors.is_indexed(connection, model),
        **(_counts(coverage) if coverage else {}),
        "coverage": round(coverage.ratio, 4) if coverage else None,
    }


def _counts(coverage: Coverage) -> dict[str, int]:
    return {"items": coverage.wanted, "done": coverage.done, "waiting": coverage.waiting, "dead": coverage.dead}


def _lines(state: dict[str, Any]) -> list[str]:
    head = (
        f"{state['model']}  {state['name']}  version {state['version']}, {state['dims']} dims, "
        f"template {state['template_version']}   {state['state']}{', indexed' if state['indexed'] else ''}"
    )
    if state["coverage"] is None:
        return [head]
    # Rounded down: it is 100 % only if nothing is missing.
    percent = int(1000 * state["done"] / state["items"]) / 10 if state["items"] else 100.0
    lines = [
        head,
        f"   {state['done']:,} of {state['items']:,} items embedded ({percent:.1f} %), {state['waiting']:,} waiting, "
        f"{state['dead']:,} dead",
    ]
    if state["state"] == "filling":
        is_filled = state["done"] == state["items"]
        step = f"ingest model activate {state['model']}" if is_filled else "ingest embed run"
        lines.append(f"   next: {step}, or ingest model retire {state['model']}")
    return lines


@model_group.command("activate")
@click.argument("wanted", metavar="MODEL")
@click.option("--force", is_flag=True, help="Although items lack its vectors: searches will not find those.")
@json_option
def activate_command(wanted: str, *, force: bool, as_json: bool) -> None:
    """Switch searches to MODEL (its number, or its name), at once for all of them.

    Example: ingest model activate 1
    """
    with _find_model(wanted) as (connection, model):
        before = models.active_model(connection)
        models.activate_model(connection, model, force=force)
    lines = [f"model {model.model_id} ({model.label}) answers searches from now on"]
    if before and before.model_id != model.model_id:
        lines.append(
            f"model {before.model_id} ({before.label}) is kept filled, to go back to; "
            f"next: ingest model retire {before.model_id}"
        )
    _print({"model": model.model_id, "before": before.model_id if before else None}, lines, as_json)


@model_group.command("retire")
@click.argument("wanted", metavar="MODEL")
@click.option("--keep-vectors", is_flag=True, help="They are used again should the model be added again.")
@json_option
def retire_command(wanted: str, *, keep_vectors: bool, as_json: bool) -> None:
    """End MODEL: drop its requests and its vectors. The active one cannot be retired.

    Example: ingest model retire 2
    """
    with _find_model(wanted) as (connection, model):
        dropped = models.retire_model(connection, model, keep_vectors=keep_vectors)
    kept = "its vectors are kept" if keep_vectors else "its vectors are gone"
    line = f"model {model.model_id} ({model.label}) is retired: {dropped:,} requests dropped, {kept}"
    _print({"model": model.model_id, "requests_dropped": dropped, "vectors_kept": keep_vectors}, [line], as_json)


@model_group.command("index")
@click.argument("wanted", metavar="MODEL")
@click.option("--drop", is_flag=True, help="Take it away, for example before most vectors are replaced.")
@json_option
def index_command(wanted: str, *, drop: bool, as_json: bool) -> None:
    """Build the index over the vectors of MODEL, while workers and searches go on.

    The asset item_embeddings builds it by itself, from 20,000 vectors on, once nothing waits.

    Example: ingest model index 1
    """
    from ingest_project.embeddings.queue import require_vectors

    with _find_model(wanted) as (connection, model):
        require_vectors(connection)
        if drop:
            vectors.drop_index(connection, model)
        count = vectors.count_vectors(connection, model) if drop else vectors.index_vectors(connection, model)
    line = (
        f"the index of model {model.model_id} is gone: searches read all of its {count:,} vectors"
        if drop
        else f"model {model.model_id} ({model.label}) is indexed: {count:,} vectors"
    )
    _print({"model": model.model_id, "indexed": not drop, "vectors": count}, [line], as_json)
