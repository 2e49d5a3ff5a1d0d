"""How things look on a terminal: errors in three lines, tables, and colours where somebody sees them."""

import json
import os
import sys
from collections.abc import Iterable, Sequence

import click

from ingest_project.errors import IngestError

json_option = click.option("--json", "as_json", is_flag=True, help="For scripts.")


def colours() -> bool | None:
    """False where NO_COLOR is set or the terminal is dumb; None lets click see whether it is a terminal at all."""
    unwanted = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return False if unwanted else None


def strong(text: str) -> str:
    """A heading; what is no terminal gets plain text."""
    return click.style(text, bold=True)


def say_error(words: object) -> None:
    """An error on stderr: what, where, what to do."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {words}", err=True, color=colours())


def wants_json() -> bool:
    """Whether `--json` was given: known where click could not make sense of the words, too."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def fail(words: object, exit_code: int, **facts: object) -> int:
    """Say why a command failed: three lines on stderr, or an object on stdout for scripts. Returns the exit code."""
    if wants_json():
        click.echo(json.dumps({"error": str(words), "exit_code": exit_code, **facts}, default=str))
    else:
        say_error(words)
    return exit_code


def fail_by(error: IngestError, **facts: object) -> int:
    """The same of an error of ours, for scripts in its pieces too; `facts`: what came of the rest."""
    pieces = {"code": type(error).__name__, "what": error.what, "where": error.where, "todo": error.todo}
    return fail(error, error.exit_code, **pieces, **facts)


def usage_error(error: click.ClickException) -> str:
    """What click found wrong with a command, in the three lines of our own errors."""
    context = getattr(error, "ctx", None)
    if not isinstance(context, click.Context):
        return f"{error.format_message()}\n  do:    ingest --help"
    usage = " ".join(context.get_usage().split()).removeprefix("Usage: ")
    return f"{error.format_message()}\n  where: {usage}\n  do:    {context.command_path} --help"


def one_line(text: str, width: int) -> str:
    """Text with its white space folded, cut to `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def table(rows: Iterable[Sequence[object]], *, right: Sequence[int] = (), indent: str = "  ") -> str:
    """Rows in columns that stand under each other; those numbered in `right` are set to the right."""
    from tabulate import tabulate

    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return ""
    sides = ["right" if at in right else "left" for at in range(len(cells[0]))]
    text = tabulate(cells, tablefmt="plain", colalign=sides, disable_numparse=True)
    return "\n".join(f"{indent}{line}".rstrip() for line in text.splitlines())


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
