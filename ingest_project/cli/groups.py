"""Groups of commands. A command is imported only when it is called: help and completion answer at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class Entry:
    """One command: its name, `module:attribute` within this package, and its line in the help of `ingest`."""

    name: str
    target: str
    summary: str

    def load(self) -> click.Command:
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(f"ingest_project.cli.{module}"), attribute)


class _Commands(Mapping[str, click.Command]):
    """Stands for click's dictionary of commands: looking a command up imports it."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> click.Command:
        return self._entries[name].load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyGroup(click.Group):
    """Commands under headings, in the order in which they are listed."""

    def __init__(self, *, headings: Mapping[str, Sequence[Entry]], **settings: object) -> None:
        super().__init__(**settings)  # pyright: ignore[reportArgumentType] - click's own, passed on
        self._headings = headings
        self._entries = {entry.name: entry for entries in headings.values() for entry in entries}
        self.commands = _Commands(self._entries)  # pyright: ignore[reportAttributeAccessIssue] - nothing is added

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self._entries)
        for heading, entries in self._headings.items():
            with formatter.section(heading):
                formatter.write_dl([(entry.name.ljust(width), entry.summary) for entry in entries])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        matching = [entry for entry in self._entries.values() if entry.name.startswith(incomplete)]
        names = [CompletionItem(entry.name, help=entry.summary) for entry in matching]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


class OrderedGroup(click.Group):
    """Commands of one module, in the order in which they are defined, each with its whole first line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [(name, (command.help or "").splitlines()[0]) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(lines)
