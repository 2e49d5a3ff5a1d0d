"""`ingest completion`: the shell knows the commands, their options, and the names of branches."""

from contextlib import suppress

import click
from click.shell_completion import CompletionItem, get_completion_class

_FILE = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/ingest.fish"}


@click.command()
@click.argument("shell", type=click.Choice(list(_FILE)))
def completion(shell: str) -> None:
    """Print what makes SHELL complete the words of `ingest`: commands, options, names of branches.

    \b
    Example: eval "$(ingest completion bash)"            in this shell
             ingest completion zsh >> ~/.zshrc           in each new one
    """  # noqa: D301 - click's mark for a paragraph that is not rewrapped is a real backspace
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all three"
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "ingest", "_INGEST_COMPLETE").source().strip())


def branch_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names that begin so. Of a database that is up: a press of TAB starts no server and shows no error."""
    from ingest_project.branches.registry import list_branches
    from ingest_project.postgres.connection import session
    from ingest_project.postgres.embedded import is_running
    from ingest_project.settings import settings

    with suppress(Exception):
        if settings().database_url is None and not is_running(settings().home):
            return []
        with session() as connection:
            found = list_branches(connection)
        return [CompletionItem(one.name, help=one.spec.location) for one in found if one.name.startswith(begun)]
    return []


def names_and_files(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The same, and then what the shell itself offers for a path."""
    return [*branch_names(context, parameter, begun), CompletionItem(begun, type="file")]
