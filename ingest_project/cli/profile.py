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
        stored = ((one.activation_id, profiles.find(connection, one.activation_id)) for one in candidates)
        number, newest = next(((number, profile) for number, profile in stored if profile), (0, None))
    if newest is None:
        raise ActivationUnknown(
            "there is no profile of this branch", where={"branch": name}, todo="`ingest run` makes one with each run."
        )
    if as_json:
        click.echo(json.dumps({"activation": number, **newest}, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(name, number, newest)))


def _lines(name: str, number: int, profile: dict[str, Any]) -> list[str]:
    sampled = f", values of {profile['sampled']:,} of them" if "sampled" in profile else ""
    lines = [f"activation {number} of {name!r}: {profile['rows']:,} items{sampled}", ""]
    header = ("column", "nulls", "different", "least", "greatest", "frequent")
    columns, rows = profile["columns"], profile["rows"]
    lines.append(table([header, *(_row(column, rows) for column in columns if column["nulls"] < rows)]))
    empty = [column["column"] for column in columns if column["nulls"] == rows]
    lines += ["", f"null everywhere: {', '.join(empty)}"] if empty else []
    issues = [(issue["field"], issue["code"], f"{issue['rows']:,}") for issue in profile["issues"]]
    lines += ["", table([("issues of", "code", "rows"), *issues])] if issues else []
    moved = [(drift["column"], drift["what"], drift["was"], drift["now"]) for drift in profile["drift"]]
    if profile["against"]:
        lines += ["", f"against activation {profile['against']}: {'' if moved else 'nothing moved'}".rstrip()]
        lines += [table([("column", "what", "was", "is"), *moved])] if moved else []
    return lines


def _row(column: dict[str, Any], rows: int) -> tuple[str, ...]:
    share = column["nulls"] / rows
    frequent = ", ".join(f"{_cut(value)} ({count:,})" for value, count in column["top"][:3])
    return (
        column["column"],
        f"{share:.1%}",
        profiles.format_distinct(column),
        _cut(column["min"]),
        _cut(column["max"]),
        frequent,
    )


def _cut(text: str | None) -> str:
    return one_line(text or "", _WIDTH)
