"""`ingest completion`: shell completion of commands, options and names of branches."""

from contextlib import suppress

import click
from click.shell_completion import CompletionItem, get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete the words of `ingest`: commands, options, names of branches.

    \b
    Example: eval "$(ingest completion bash)"            in this shell
             ingest completion zsh >> ~/.zshrc           in each new one
    """  # noqa: D301 - click's mark for a paragraph that is not rewrapped is a real backspace
    completion_class = get_completion_class(shell)
    assert completion_class is not None, "click knows all three"
    root = click.get_current_context().find_root()
    click.echo(completion_class(root.command, {}, "ingest", "_INGEST_COMPLETE").source().strip())


def branch_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Branches whose names begin so, if the database is up: pressing TAB starts no server and shows no error."""
    from ingest_project.branches.registry import list_branches
    from ingest_project.postgres.connection import session
    from ingest_project.postgres.embedded import is_running
    from ingest_project.settings import settings

    with suppress(Exception):
        if settings().database_url is None and not is_running(settings().home):
            return []
        with session() as connection:
            branches = list_branches(connection)
        return [CompletionItem(one.name, help=one.spec.location) for one in branches if one.name.startswith(incomplete)]
    return []


def names_and_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of branches, and then what the shell itself completes for a path."""
    return [*branch_names(context, parameter, incomplete), CompletionItem(incomplete, type="file")]
