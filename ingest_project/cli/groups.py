"""Groups of commands, whose help and completion are there at once: a command is imported when it is called."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class Entry:
    """One command: its name, `module:attribute` within this package, and its line in the help of `ingest`."""

    name: str
    place: str
    line: str

    def load(self) -> click.Command:
        module, _, attribute = self.place.partition(":")
        return getattr(import_module(f"ingest_project.cli.{module}"), attribute)


class _Commands(Mapping[str, click.Command]):
    """What click takes for its dictionary of commands: names are known, a command is imported when it is taken."""

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

    def __init__(self, *, entries: Mapping[str, Sequence[Entry]], **given: object) -> None:
        super().__init__(**given)  # pyright: ignore[reportArgumentType] - click's own, handed on
        self._headings = entries
        self._entries = {entry.name: entry for group in entries.values() for entry in group}
        self.commands = _Commands(self._entries)  # pyright: ignore[reportAttributeAccessIssue] - nothing is added

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        wide = max(len(name) for name in self._entries)
        for heading, group in self._headings.items():
            with formatter.section(heading):
                formatter.write_dl([(entry.name.ljust(wide), entry.line) for entry in group])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [entry for entry in self._entries.values() if entry.name.startswith(incomplete)]
        names = [CompletionItem(entry.name, help=entry.line) for entry in found]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


class ToldGroup(click.Group):
    """Commands of one module, in the order in which they are written, each with all of its first sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [(name, (command.help or "").splitlines()[0]) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(lines)
