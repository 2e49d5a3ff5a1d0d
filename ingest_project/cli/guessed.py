"""A branch made from a file alone: guessed from its columns, shown with sample values, written as a branch file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from ingest_project.branches.guess import Guess, guess
from ingest_project.branches.relation import is_relation, table_name
from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import UsageError
from ingest_project.extract.look import Look, look

_WIDTH = 60
_ENDINGS = re.compile(r"\.(csv|parquet|jsonl|ndjson|gz|zst)$", re.IGNORECASE)


@dataclass(frozen=True)
class Guessed:
    """The branch, and what it was guessed from."""

    spec: BranchSpec
    guess: Guess
    look: Look

    def shown(self) -> str:
        """Which column became what, with sample values, for a terminal."""
        written = [(what, repr(how), "guessed from its first rows") for what, how in self.look.written.items()]
        named = [("key", self.spec.key), ("updated_at", self.spec.updated_at or "-")]
        columns = (*named, *self.guess.mapping.items())
        rows = [*written, *((what, column, self._samples(column)) for what, column in columns)]
        rest = [name for name in self.look.columns if name not in self.spec.declared_columns()]
        widths = [max(len(row[at]) for row in rows) for at in (0, 1)]
        lines = [f"  {what:<{widths[0]}}  ←  {column:<{widths[1]}}  {samples}" for what, column, samples in rows]
        return "\n".join([*lines, *([f"  attributes: {', '.join(rest)}"] if rest else [])])

    def as_file(self) -> str:
        """The branch file, for a person to edit: sample values as comments."""
        lines = [
            "# Guessed from the names of the columns: look it over, then `ingest branch apply` this file.",
            f"name: {_scalar(self.spec.name)}",
            f"source: {_scalar(self.spec.source)}   # the namespace of the keys; branches may share it",
            f"location: {_scalar(self.spec.location)}",
            *(f"{what}: {_scalar(how)}" for what, how in self.look.written.items()),
            *self._line("key", self.spec.key, "names a row within its source"),
            *self._updated_at(),
            "mapping:   # item field: source column, or {column: x, default: y}, or {constant: y}",
            *(line for field, column in self.guess.mapping.items() for line in self._line(f"  {field}", column)),
            "unmapped: keep   # all other columns go to attributes; or drop",
        ]
        return "\n".join(lines) + "\n"

    def _updated_at(self) -> Iterable[str]:
        if self.spec.updated_at is None:
            return ["# updated_at: COLUMN   # how new a row is (ISO 8601); without it the newer activation wins"]
        return self._line("updated_at", self.spec.updated_at, "how new a row is; newer rows win")

    def _line(self, what: str, column: str, words: str = "") -> Iterable[str]:
        told = "; ".join(text for text in (words, self._samples(column)) if text)
        return [f"{what}: {_scalar(column)}{f'   # {told}' if told else ''}"]

    def _samples(self, column: str) -> str:
        text = ", ".join(" ".join(value.split()) for value in self.look.samples.get(column, []))
        return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _scalar(value: str) -> str:
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()


def guessed(
    location: str, *, name: str | None, key: str | None, updated_at: str | None, maps: Sequence[str]
) -> Guessed:
    """Look at a location and guess. Raises SpecInvalid, UsageError, and the Refused errors."""
    place = anchored(location)
    seen = look(place)
    made = guess(seen.columns, key=key or seen.key, updated_at=updated_at, mapping=dict(_pair(one) for one in maps))
    return Guessed(made.spec(name or name_of(location), place, **seen.written), made, seen)


def is_location(text: str) -> bool:
    """Whether these words name data rather than a branch."""
    return "://" in text or is_relation(text) or bool(_ENDINGS.search(text)) or Path(text).expanduser().exists()


def name_of(location: str) -> str:
    """A branch's name after its file or table: `exports/places.csv.gz` is `places`, as is `…?table=public.places`."""
    if is_relation(location):
        return table_name(location)
    name = location.rstrip("/").rpartition("/")[2]
    while _ENDINGS.search(name):
        name = _ENDINGS.sub("", name)
    return name


def anchored(location: str) -> str:
    """The location as a branch keeps it: a path does not depend on where the command was given."""
    return location if "://" in location or is_relation(location) else str(Path(location).expanduser().absolute())


def _pair(text: str) -> tuple[str, str]:
    field, equals, column = text.partition("=")
    if not equals:
        raise UsageError(f"--map {text}: say FIELD=COLUMN", todo="For example: --map name=title")
    return field, column


def guessing_options(command: Any) -> Any:
    """The options with which a person says what is not to be guessed."""
    for option in (
        click.option("--name", help="Name of the branch [default: after the file]."),
        click.option("--key", help="The column that names a row."),
        click.option("--updated-at", help="The column that says how new a row is."),
        click.option(
            "--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Where a field comes from; repeatable."
        ),
    ):
        command = option(command)
    return command
