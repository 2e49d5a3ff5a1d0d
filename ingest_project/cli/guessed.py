"""A branch made from a file alone: guessed from its columns, shown with sample values, written as a branch file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from ingest_project.branches.relation import is_relation, table_name
from ingest_project.branches.spec import BranchSpec
from ingest_project.cli.terminal import one_line
from ingest_project.errors import UsageError
from ingest_project.extract.location import refuse_undecodable
from ingest_project.guess.columns import Guess, guess
from ingest_project.guess.fitting import fitted
from ingest_project.guess.look import Look, look

_WIDTH = 60
_SAMPLES = 3
_ENDINGS = re.compile(r"\.(csv|tsv|tab|txt|parquet|jsonl|ndjson|json|geojson|gz|zst)$", re.IGNORECASE)
_WILD = re.compile(r"\[[^]]*\]|[*?]")


@dataclass(frozen=True)
class Guessed:
    """The branch, and what it was guessed from."""

    spec: BranchSpec
    guess: Guess
    look: Look
    written: dict[str, Any]
    given: frozenset[str] = frozenset()

    def shown(self) -> str:
        """Which column became what, with sample values, for a terminal."""
        written = [(what, repr(how), self._origin(what)) for what, how in self.written.items()]
        named = [("key", self.spec.key), ("updated_at", self.spec.updated_at or "-")]
        columns = (*named, *self.guess.mapping.items())
        rows = [*written, *((what, column, self._samples(column)) for what, column in columns)]
        rest = [name for name in self.look.columns if name not in self.spec.declared_columns()]
        widths = [max(len(row[at]) for row in rows) for at in (0, 1)]
        lines = [f"  {what:<{widths[0]}}  ←  {column:<{widths[1]}}  {samples}" for what, column, samples in rows]
        return "\n".join([*lines, *([f"  attributes: {', '.join(rest)}"] if rest else []), *self._hints()])

    def _origin(self, setting: str) -> str:
        return "as you say" if setting in self.given else "guessed from its first rows"

    def _hints(self) -> Iterable[str]:
        if "phone" in self.guess.mapping and "country_code" not in self.guess.mapping and not self.spec.country:
            yield "  no column names a country: national phone numbers need one, as --set country=DE"

    def as_file(self) -> str:
        """The branch file, for a person to edit: sample values as comments."""
        lines = [
            "# Guessed from the names of the columns: look it over, then `ingest branch apply` this file.",
            f"name: {_scalar(self.spec.name)}",
            f"source: {_scalar(self.spec.source)}   # the namespace of the keys; branches may share it",
            f"location: {_scalar(self.spec.location)}",
            *(f"{what}: {_scalar(how)}" for what, how in self.written.items()),
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
        return one_line(", ".join(value.strip() for value in self.look.samples.get(column, [])[:_SAMPLES]), _WIDTH)


def _scalar(value: object) -> str:
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()


def guessed(
    location: str,
    *,
    name: str | None,
    key: str | None,
    updated_at: str | None,
    maps: Sequence[str],
    settings: Sequence[str] = (),
) -> Guessed:
    """Look at a location and guess. Raises SpecInvalid, UsageError, and the Refused errors."""
    refuse_undecodable(location)
    place = anchored(location)
    given = _settings(settings)
    seen = look(place, given)
    made = guess(
        seen.columns,
        key=key or seen.key,
        updated_at=updated_at,
        mapping=dict(_pair(one, "--map") for one in maps),
        inside=seen.inside,
        unique=seen.unique,
        filled=seen.filled,
    )
    said = [*(_pair(one, "--map")[0] for one in maps), *(["updated_at"] if updated_at else [])]
    made, written = fitted(made, seen, said, seen.written)
    return Guessed(made.spec(name or name_of(location), place, **written), made, seen, written, frozenset(given))


def is_location(text: str) -> bool:
    """Whether these words name data rather than a branch."""
    return "://" in text or is_relation(text) or bool(_ENDINGS.search(text)) or Path(text).expanduser().exists()


def name_of(location: str) -> str:
    """A branch's name after its data.

    `exports/places.csv.gz` is `places`, as is `…?table=public.places`; so are the globs `exports/places-*.csv` and
    `places/*.csv`: what is named is the last part that does not consist of wild cards.
    """
    if is_relation(location):
        return table_name(location)
    if not _is_glob(location):
        return _bare(location.rstrip("/").rpartition("/")[2])
    parts = reversed(anchored(location).split("/"))
    return next(filter(None, (_bare(_WILD.sub("", part)).strip("-_. ") for part in parts)), location)


def _is_glob(location: str) -> bool:
    # In a URL a question mark begins the query; a file whose name holds brackets is itself, not a pattern.
    if "://" in location:
        return "*" in location
    return bool(_WILD.search(location)) and not Path(location).expanduser().exists()


def _bare(name: str) -> str:
    while _ENDINGS.search(name):
        name = _ENDINGS.sub("", name)
    return name


def anchored(location: str) -> str:
    """The location as a branch keeps it: a path does not depend on where the command was given."""
    return location if "://" in location or is_relation(location) else str(Path(location).expanduser().absolute())


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    pairs = [_pair(text, "--set") for text in texts]
    for what, value in pairs:
        if what in _OPTIONS:
            raise UsageError(f"--set {what}={value}: say {_OPTIONS[what]}", todo="It has an option of its own.")
    return {what: yaml.safe_load(value) for what, value in pairs}


def _pair(text: str, option: str) -> tuple[str, str]:
    what, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{option} {text}: say {_PAIRS[option][0]}", todo=f"For example: {option} {_PAIRS[option][1]}")
    return what, value


_OPTIONS = {
    "name": "--name",
    "location": "FILE",
    "key": "--key",
    "updated_at": "--updated-at",
    "mapping": "--map",
}
_PAIRS = {"--map": ("FIELD=COLUMN", "name=title"), "--set": ("SETTING=VALUE", "encoding=shift_jis")}


def guessing_options(command: Any) -> Any:
    """The options with which a person says what is not to be guessed."""
    for option in (
        click.option("--name", help="Name of the branch [default: after the file]."),
        click.option("--key", help="The column that names a row."),
        click.option("--updated-at", help="The column that says how new a row is."),
        click.option(
            "--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Where a field comes from; repeatable."
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="SETTING=VALUE",
            help="Any other setting of a branch file, as encoding=shift_jis, country=DE, locale=de; repeatable.",
        ),
    ):
        command = option(command)
    return command
