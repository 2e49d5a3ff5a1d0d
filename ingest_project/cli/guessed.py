"""A branch guessed from its data: from the names of its columns and its first rows; shown, or written as a file."""

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
from ingest_project.guess.fitting import fit
from ingest_project.guess.inspection import Inspection, inspect_source

_WIDTH = 60
_SAMPLES = 3
_ENDINGS = re.compile(r"\.(csv|tsv|tab|txt|parquet|jsonl|ndjson|json|geojson|gz|zst)$", re.IGNORECASE)
_WILD_CARDS = re.compile(r"\[[^]]*\]|[*?]")


@dataclass(frozen=True)
class GuessedBranch:
    """A branch, and what it was guessed from; `settings` are those of the format, `given` names those the user set."""

    spec: BranchSpec
    guess: Guess
    inspection: Inspection
    settings: dict[str, Any]
    given: frozenset[str] = frozenset()

    def as_table(self) -> str:
        """Which column became what, with sample values, for a terminal."""
        settings = [(setting, repr(value), self._origin(setting)) for setting, value in self.settings.items()]
        times = [("key", self.spec.key), ("updated_at", self.spec.updated_at or "-")]
        columns = (*times, *self.guess.mapping.items())
        rows = [*settings, *((field, column, self._samples(column)) for field, column in columns)]
        rest = [name for name in self.inspection.columns if name not in self.spec.declared_columns()]
        widths = [max(len(row[index]) for row in rows) for index in (0, 1)]
        lines = [f"  {left:<{widths[0]}}  ←  {right:<{widths[1]}}  {note}" for left, right, note in rows]
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
            *(f"{setting}: {_scalar(value)}" for setting, value in self.settings.items()),
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

    def _line(self, setting: str, column: str, meaning: str = "") -> Iterable[str]:
        comment = "; ".join(text for text in (meaning, self._samples(column)) if text)
        return [f"{setting}: {_scalar(column)}{f'   # {comment}' if comment else ''}"]

    def _samples(self, column: str) -> str:
        samples = self.inspection.samples.get(column, [])[:_SAMPLES]
        return one_line(", ".join(value.strip() for value in samples), _WIDTH)


def _scalar(value: object) -> str:
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()


def guess_branch(
    location: str,
    *,
    name: str | None,
    key: str | None,
    updated_at: str | None,
    maps: Sequence[str],
    settings: Sequence[str] = (),
) -> GuessedBranch:
    """Guess the branch of a location from its first rows. Raises SpecInvalid, UsageError, and the Refused errors."""
    refuse_undecodable(location)
    absolute = absolute_location(location)
    given = _parse_settings(settings)
    mapping = dict(_parse_pair(text, "--map") for text in maps)
    inspection = inspect_source(absolute, given)
    guessed = guess(
        inspection.columns,
        key=key or inspection.key,
        updated_at=updated_at,
        mapping=mapping,
        array_paths=inspection.array_paths,
        unique=inspection.unique,
        filled=inspection.filled,
    )
    mapped_by_user = [*mapping, *(["updated_at"] if updated_at else [])]
    guessed, chosen = fit(guessed, inspection, mapped_by_user, inspection.settings)
    spec = guessed.spec(name or default_name(location), absolute, **chosen)
    return GuessedBranch(spec, guessed, inspection, chosen, frozenset(given))


def is_location(text: str) -> bool:
    """Whether this text is a location of data rather than the name of a branch."""
    return "://" in text or is_relation(text) or bool(_ENDINGS.search(text)) or Path(text).expanduser().exists()


def default_name(location: str) -> str:
    """A branch's name after its data.

    `places` for `exports/places.csv.gz`, for `…?table=public.places`, and for the globs `exports/places-*.csv` and
    `places/*.csv`: a glob is named after its last part that is more than wild cards.
    """
    if is_relation(location):
        return table_name(location)
    if not _is_glob(location):
        return _without_endings(location.rstrip("/").rpartition("/")[2])
    parts = reversed(absolute_location(location).split("/"))
    names = (_without_endings(_WILD_CARDS.sub("", part)).strip("-_. ") for part in parts)
    return next(filter(None, names), location)


def _is_glob(location: str) -> bool:
    # In a URL a question mark begins the query. An existing file with brackets in its name is no pattern.
    if "://" in location:
        return "*" in location
    return bool(_WILD_CARDS.search(location)) and not Path(location).expanduser().exists()


def _without_endings(name: str) -> str:
    while _ENDINGS.search(name):
        name = _ENDINGS.sub("", name)
    return name


def absolute_location(location: str) -> str:
    """The location as a branch keeps it: paths are absolute, not relative to where the command was given."""
    return location if "://" in location or is_relation(location) else str(Path(location).expanduser().absolute())


def _parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    pairs = [_parse_pair(text, "--set") for text in texts]
    for setting, value in pairs:
        if setting in _OWN_OPTION:
            raise UsageError(
                f"--set {setting}={value}: say {_OWN_OPTION[setting]}", todo="It has an option of its own."
            )
    return {setting: yaml.safe_load(value) for setting, value in pairs}


def _parse_pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        form, example = _PAIRS[option]
        raise UsageError(f"{option} {text}: say {form}", todo=f"For example: {option} {example}")
    return name, value


_OWN_OPTION = {
    "name": "--name",
    "location": "FILE",
    "key": "--key",
    "updated_at": "--updated-at",
    "mapping": "--map",
}
_PAIRS = {"--map": ("FIELD=COLUMN", "name=title"), "--set": ("SETTING=VALUE", "encoding=shift_jis")}


def guessing_options(command: Any) -> Any:
    """Add the options by which a user says what is not to be guessed."""
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
