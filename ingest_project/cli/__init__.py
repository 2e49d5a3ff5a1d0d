"""The `ingest` command. Each command is imported when it is called, and Dagster, which takes seconds, where needed."""

import os
import signal
import sys
from typing import Any

import click

from ingest_project.cli.groups import Entry, LazyGroup
from ingest_project.cli.terminal import colours, fail, fail_with, usage_error, wants_json
from ingest_project.errors import IngestError, Interrupted, Unexpected, first_line

_COMMANDS = {
    "Try it": (
        Entry("demo", "demo:demo", "A sample of real places, from nothing to core.items and a search."),
        Entry("dev", "dev:dev", "Dagster's UI and daemon on the same data; Ctrl-C ends all of it."),
    ),
    "Ingest": (
        Entry("plan", "run:plan", "What a run would change, column by column; nothing is written to core."),
        Entry("run", "run:run", "Ingest a branch, or a file that none has yet; goes on where one stopped."),
        Entry("branch", "branch:branch", "Register, guess, list, show and activate branches."),
        Entry("accept", "accept:accept", "Take an activation that a gate blocks."),
        Entry("rollback", "rollback:rollback", "Undo what an activation did to core.items."),
    ),
    "Look": (
        Entry("status", "status:status", "What is stuck, what is going on, what to run next."),
        Entry("rejects", "rejects:rejects", "Rows that were set aside and why; take them up again."),
        Entry("profile", "profile:profile", "What the columns of a branch hold, and what moved since the last time."),
        Entry("history", "history:history", "What happened to one item, version by version."),
        Entry("codes", "codes:codes", "What every code means, and what to do about it."),
    ),
    "Embed and search": (
        Entry("search", "search:search_command", "Items near a text in meaning."),
        Entry("embed", "embed:embed", "Vectors for what waits, how far it is, another try for what is dead."),
        Entry("model", "model:model_group", "Add, fill, switch and retire the models that items are embedded by."),
    ),
    "Keep": (
        Entry("verify", "verify:verify", "Whether what is stored is true; --repair mends it."),
        Entry("prune", "prune:prune_command", "Delete what ended long ago: parts, history, Dagster runs."),
        Entry("torture", "torture:torture", "Kill ingests on this very Postgres and compare what they leave."),
        Entry("db", "db:db", "Where Postgres is, its schema, a psql session."),
        Entry("completion", "completion:completion", "What makes your shell complete all of this."),
    ),
}


@click.group(cls=LazyGroup, headings=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ingest-project")
@click.pass_context
def ingest(context: click.Context) -> None:
    """Data from a branch, normalized, upserted into core.items exactly once.

    \b
    Try it:   ingest demo
    Then:     ingest branch apply places.yaml
              ingest plan places
              ingest run places
    """  # noqa: D301 - click's mark for a paragraph that is not rewrapped is a real backspace
    from ingest_project.telemetry import configure_logging

    context.color = colours()
    configure_logging()


def main() -> None:
    """Run one command. Exit codes: 0 done, 1 failed, 2 usage, 3 locked, 4 refused, 130 interrupted."""
    # Not the handler that SIGINT has now: a script's `ingest run NAME &` starts with SIGINT ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        return _run()
    except Exception as error:
        return fail_with(_as_ingest_error(error))


def _run() -> int:
    try:
        result: Any = ingest.main(prog_name="ingest", standalone_mode=False)
    except IngestError as error:
        return fail_with(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return fail(usage_error(error), error.exit_code, code="UsageError", what=error.format_message())
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except BrokenPipeError:
        # The reader of the output has ended (`| head`); without this, closing stdout at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    if wants_json():
        return fail_with(Interrupted())
    click.echo("\ninterrupted; nothing is half done: the same command can be given again", err=True)
    return Interrupted.exit_code


def _as_ingest_error(error: Exception) -> IngestError:
    """An error that no command expected, in three lines too; its traceback is shown at the log level DEBUG."""
    from ingest_project.telemetry import log

    log.debug("unexpected", exc_info=error)
    if isinstance(error, OSError) and error.filename:
        return IngestError(
            f"{error.strerror or error}",
            where={"file": error.filename},
            todo="Name another, or mend its folder or rights.",
        )
    return Unexpected(
        f"{type(error).__name__}: {first_line(error, 'no reason given')}",
        todo="Run it again with INGEST_LOG_LEVEL=DEBUG to see where it happened; `ingest status` shows what is open.",
    )
