"""Output on a terminal: errors in three lines, tables, and colours where a person sees them."""

import json
import os
import sys
from collections.abc import Iterable, Sequence

import click

from ingest_project.errors import IngestError

json_option = click.option("--json", "as_json", is_flag=True, help="For scripts.")


def colours() -> bool | None:
    """False where NO_COLOR is set or the terminal is dumb; with None click checks whether it is a terminal at all."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return False if is_plain else None


def bold(text: str) -> str:
    """Text in bold; click leaves out the style where the output is no terminal."""
    return click.style(text, bold=True)


def print_error(error: object) -> None:
    """An error on stderr: what, where, what to do."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True, color=colours())


def wants_json() -> bool:
    """Whether `--json` was given. Read from the command line itself: click may have failed to parse it."""
    arguments = sys.argv[1:]
    return "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)


def fail(error: object, exit_code: int, **facts: object) -> int:
    """Print why a command failed: three lines on stderr, or with --json an object on stdout. Returns the exit code."""
    if wants_json():
        click.echo(json.dumps({"error": str(error), "exit_code": exit_code, **facts}, default=str))
    else:
        print_error(error)
    return exit_code


def fail_with(error: IngestError, **facts: object) -> int:
    """Print an error of this project; its object for scripts has its code, what, where and todo, and `facts`."""
    pieces = {"code": type(error).__name__, "what": error.what, "where": error.where, "todo": error.todo}
    return fail(error, error.exit_code, **pieces, **facts)


def usage_error(error: click.ClickException) -> str:
    """A usage error of click in the three lines of this project's own errors."""
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
    """Rows with their columns aligned; those whose index is in `right` are aligned to the right."""
    from tabulate import tabulate

    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return ""
    alignments = ["right" if index in right else "left" for index in range(len(cells[0]))]
    text = tabulate(cells, tablefmt="plain", colalign=alignments, disable_numparse=True)
    return "\n".join(f"{indent}{line}".rstrip() for line in text.splitlines())


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
