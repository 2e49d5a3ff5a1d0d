"""The `ingest` command. Dagster is imported by the commands that need it: it costs seconds."""

import os
import signal
import sys
from typing import Any

import click

from ingest_project.cli.accept import accept
from ingest_project.cli.branch import branch
from ingest_project.cli.codes import codes
from ingest_project.cli.completion import completion
from ingest_project.cli.db import db
from ingest_project.cli.demo import demo
from ingest_project.cli.dev import dev
from ingest_project.cli.embed import embed
from ingest_project.cli.history import history
from ingest_project.cli.model import model
from ingest_project.cli.profile import profile
from ingest_project.cli.prune import prune_command
from ingest_project.cli.rejects import rejects
from ingest_project.cli.rollback import rollback
from ingest_project.cli.run import plan, run
from ingest_project.cli.search import search_command
from ingest_project.cli.status import status
from ingest_project.cli.terminal import colours, say_error, usage_error
from ingest_project.cli.torture import torture
from ingest_project.cli.verify import verify
from ingest_project.errors import IngestError, Interrupted
from ingest_project.telemetry import configure_logging


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    context.color = colours()
    configure_logging()


_COMMANDS = (
    *(demo, run, plan, rollback, rejects, accept, profile, history, status, embed, branch, codes),
    *(db, dev, prune_command, completion, model, search_command, verify, torture),
)
for _command in _COMMANDS:
    ingest.add_command(_command)


def main() -> None:
    """Run one command. Exit codes: 0 done, 1 failed, 2 usage, 3 locked, 4 refused, 130 interrupted."""
    # Not SIGINT's own handler of the moment: a script's `ingest run NAME &` starts with SIGINT ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        result: Any = ingest.main(prog_name="ingest", standalone_mode=False)
    except IngestError as error:
        say_error(error)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        say_error(usage_error(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted; nothing is half done: the same command can be given again", err=True)
        return Interrupted.exit_code
    except BrokenPipeError:
        # The reader of our output has left (`| head`); a second failure at exit would say nothing more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0
