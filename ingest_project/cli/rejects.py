"""`ingest rejects`: the rows that were set aside, why, and what to do about it."""

import json
import shlex
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import click

from ingest_project.branches import activations, registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.cli.completion import branch_names
from ingest_project.cli.groups import OrderedGroup
from ingest_project.cli.terminal import json_option
from ingest_project.codes import GAVE_WAY, REASONS
from ingest_project.errors import ActivationUnknown
from ingest_project.normalize.quarantine import count_replayed, listed_rejects, reject_codes
from ingest_project.normalize.rejects import Reject
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated

_WIDTH = 160


class _ShowGroup(OrderedGroup):
    """A group whose default command is `show`: `ingest rejects NAME` is `ingest rejects show NAME`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ShowGroup)
def rejects() -> None:
    """Rows that were set aside: shown, or taken up again.

    `ingest rejects NAME` shows those of a branch; so does `ingest rejects show NAME`.

    Example: ingest rejects places --by key_missing --export rejects.jsonl
    """


@rejects.command()
@click.argument("name", shell_complete=branch_names)
@click.option("--by", "--code", "code", type=click.Choice(list(REASONS)), help="Only rows with this code.")
@click.option(
    "--activation", type=click.IntRange(1), help="Of this activation [default: the newest that was normalized]."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="So many rows on the terminal.")
@click.option("--export", type=click.Path(path_type=Path), help="Write all of them to this file, a JSON object a line.")
@click.option("--json", "as_json", is_flag=True, help="Print all of them, a JSON object a line.")
def show(
    name: str, *, code: str | None, activation: int | None, limit: int, export: Path | None, as_json: bool
) -> None:
    """Show the rows of the branch NAME that were set aside: why, what they said, and what to do about it.

    Example: ingest rejects show places --by key_missing --export rejects.jsonl
    """
    ensure_migrated()
    with session() as connection:
        branch = registry.get_branch(connection, name)
        chosen = _activation(connection, branch, activation)
        rows = listed_rejects(connection, chosen.activation_id, code)
        if as_json:
            for reject in rows:
                click.echo(_as_json(reject))
        elif export:
            click.echo(f"{_export(rows, export):,} rows of activation {chosen.activation_id} written to {export}")
        else:
            counts = reject_codes(connection, chosen.activation_id)
            replayed = count_replayed(connection, chosen.activation_id)
            click.echo("\n".join(_lines(name, chosen, counts, replayed, list(islice(rows, limit)))))


@rejects.command()
@click.argument("name", shell_complete=branch_names)
@json_option
def replay(name: str, *, as_json: bool) -> int:
    """Take up again the rows of the branch NAME that were set aside, under its rules and its file as they are now.

    Each row ranks as the activation that brought it; a key that a later one carried is superseded. What still fails
    stays where it is, to be replayed again.

    Example: ingest rejects replay places
    """
    from ingest_project.cli.replay import replay_rejects

    return replay_rejects(name, as_json=as_json)


def _activation(connection: Connection, branch: Branch, number: int | None) -> Activation:
    if number is not None:
        return activations.get(connection, branch.branch_id, number)
    for activation in activations.newest(connection, branch.branch_id, 50):
        if activation.normalized_at and activation.kind == "ingest":
            return activation
    raise ActivationUnknown("no activation of this branch was normalized yet", where={"branch": branch.name})


def _lines(name: str, activation: Activation, counts: dict[str, int], replayed: int, rows: list[Reject]) -> list[str]:
    rejected, rows_read = activation.rejected or 0, activation.rows_read or 0
    lines = [f"activation {activation.activation_id} of {name!r}: {rejected:,} of {rows_read:,} rows"]
    for code, count in counts.items():
        reason = REASONS[code]
        lines.append(f"  {count:>9,}  {code}: {reason.meaning}; to do: {reason.remedy}")
    lines += [f"  taken up again since: {replayed:,} of them, which are not shown"] if replayed else []
    for reject in rows:
        why = "; ".join(f"{error['code']}: {error['message']}" for error in reject.errors)
        lines += ["", f"row {reject.row}  key {reject.external_id or '-'}  {why}", f"  {_raw(reject)[:_WIDTH]}"]
    if len(rows) < rejected - replayed:
        lines += ["", f"all of them: ingest rejects {shlex.quote(name)} --export FILE"]
    if set(counts) - set(GAVE_WAY) and rows:
        lines += ["", f"once the branch file is mended: ingest rejects replay {shlex.quote(name)}"]
    return lines


def _export(rows: Iterable[Reject], target: Path) -> int:
    count = 0
    with target.open("w", encoding="utf-8") as handle:
        for count, reject in enumerate(rows, start=1):  # noqa: B007 - returned
            handle.write(_as_json(reject) + "\n")
    return count


def _as_json(reject: Reject) -> str:
    fields = {
        "row": reject.row,
        "key": reject.external_id,
        "errors": reject.errors,
        "raw": _raw(reject),
        "raw_truncated": reject.raw_truncated,
    }
    return json.dumps(fields, ensure_ascii=False)


def _raw(reject: Reject) -> str:
    return bytes(reject.raw).decode("utf-8", "replace")
