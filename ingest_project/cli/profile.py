"""`ingest profile`: what the columns of an activation hold, and what moved since the last one."""

import json
from typing import Any

import click

from ingest_project.branches import activations, registry
from ingest_project.cli.completion import branch_names
from ingest_project.cli.terminal import json_option, one_line, table
from ingest_project.errors import ActivationUnknown
from ingest_project.normalize import profiles
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated

_WIDTH = 28


@click.command()
@click.argument("name", shell_complete=branch_names)
@click.option("--activation", type=click.IntRange(1), help="Of this activation [default: the newest that has one].")
@json_option
def profile(name: str, *, activation: int | None, as_json: bool) -> None:
    """Show what the columns of the branch NAME hold: nulls, different values, extremes, frequent values, issues.

    Of a column with more than 20,000 different values, their number is an estimate and marked with ~.

    Example: ingest profile places
    """
    ensure_migrated()
    with session() as connection:
        branch = registry.get_branch(connection, name)
        if activation is not None:
            candidates = [activations.get(connection, branch.branch_id, activation)]
        else:
            candidates = activations.newest(connection, branch.branch_id, 50)
        made = ((one.activation_id, profiles.find(connection, one.activation_id)) for one in candidates)
        number, found = next(((number, profiled) for number, profiled in made if profiled), (0, None))
    if found is None:
        raise ActivationUnknown(
            "there is no profile of this branch", where={"branch": name}, todo="`ingest run` makes one with each run."
        )
    if as_json:
        click.echo(json.dumps({"activation": number, **found}, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(name, number, found)))


def _lines(name: str, number: int, found: dict[str, Any]) -> list[str]:
    sampled = f", values of {found['sampled']:,} of them" if "sampled" in found else ""
    lines = [f"activation {number} of {name!r}: {found['rows']:,} items{sampled}", ""]
    header = ("column", "nulls", "different", "least", "greatest", "frequent")
    lines.append(table([header, *(_row(found, one) for one in found["columns"] if one["nulls"] < found["rows"])]))
    empty = [one["column"] for one in found["columns"] if one["nulls"] == found["rows"]]
    lines += ["", f"null everywhere: {', '.join(empty)}"] if empty else []
    issues = [(one["field"], one["code"], f"{one['rows']:,}") for one in found["issues"]]
    lines += ["", table([("issues of", "code", "rows"), *issues])] if issues else []
    moved = [(one["column"], one["what"], one["was"], one["now"]) for one in found["drift"]]
    if found["against"]:
        lines += ["", f"against activation {found['against']}: {'' if moved else 'nothing moved'}".rstrip()]
        lines += [table([("column", "what", "was", "is"), *moved])] if moved else []
    return lines


def _row(found: dict[str, Any], one: dict[str, Any]) -> tuple[str, ...]:
    share = one["nulls"] / found["rows"]
    frequent = ", ".join(f"{_cut(value)} ({count:,})" for value, count in one["top"][:3])
    return (one["column"], f"{share:.1%}", profiles.different(one), _cut(one["min"]), _cut(one["max"]), frequent)


def _cut(text: str | None) -> str:
    return one_line(text or "", _WIDTH)
