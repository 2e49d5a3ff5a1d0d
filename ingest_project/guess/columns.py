"""Guesses from their names what the columns of a source are: a start for a person to look over, never the last word.

The names are those of `column_words`. A column is taken once, a field takes the first of its names that is there.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SpecInvalid
from ingest_project.guess import column_words as words
from ingest_project.item import PAIRS, columns

# A name, or a value of a file of lines, that is a number.
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")
# Folded names of something else than the row.
_NAME_OF_OTHER = re.compile(
    r"(city|town|street|country|county|state|region|province|user|host|owner|agent|first|last|middle|file|authority|"
    r"contact|group|type|category|brand|chain|parent|source|dataset|layer|column)name$"
)
# A number or a code may be that of a phone or of an address, all different in the first rows too.
_OF_OTHERS = (
    "phone|telefon|rufnum|handy|fax|zip|plz|postal|postcode|mobile?n|contactn|^teln|^pin|"
    "(?<!ware)(?<!light)(?:house|haus|street|building)n"
)
_KEY_LIKE = re.compile(rf"(id|uuid|guid|key|ref)$|^(?!.*({_OF_OTHERS})).*(nr|nummer|number|code)$")
# Of Latin, Greek and Cyrillic, and of Arabic; then letters that no normal form takes apart.
_ACCENTS = re.compile("[\u0300-\u036f\u0653-\u0655]")
_WITHOUT_STROKE = str.maketrans({"ı": "i", "ł": "l", "đ": "d", "ø": "o", "æ": "ae", "ð": "d", "þ": "th"})
_MAX_LISTED = 6


@dataclass(frozen=True)
class Guess:
    """What the columns of a source are likely to be; None where nothing fits.

    `key_candidates` are columns whose first values are all there and all different; `header` all columns; `unpaired`
    fields of a pair whose other is missing, which the mapping leaves out; `points` a column that may hold both
    coordinates, if its values do.
    """

    key: str | None
    updated_at: str | None
    mapping: dict[str, str]
    key_candidates: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    unpaired: dict[str, str] = field(default_factory=dict[str, str])
    points: str | None = None

    def spec(self, name: str, location: str, **settings: object) -> BranchSpec:
        """A branch of this guess and other settings. Raises SpecInvalid without key or name."""
        if self.key is None:
            raise self._undecided("key", "names a row", "--key COLUMN", location)
        if "name" not in self.mapping:
            raise self._undecided("name", "is the name of an item", "--map name=COLUMN", location)
        return BranchSpec.model_validate(
            {
                "name": name,
                "source": name,
                "location": location,
                **settings,
                "key": self.key,
                "updated_at": self.updated_at,
                "mapping": self.mapping,
            }
        )

    def _undecided(self, setting: str, meaning: str, option: str, location: str) -> SpecInvalid:
        what = f"{setting}: no column looks as if it {meaning}"
        if self.header:
            what += f"; there are: {_listed(self.header)}"
        if setting == "key" and self.key_candidates:
            what += f"\n    different in each of the first rows: {_listed(self.key_candidates)}"
        todo = f"Say it: {option}"
        if any(NUMBER.fullmatch(name.strip()) for name in self.header):
            todo = f"The first line looks like a row: put a line of column names before it. Or say it: {option}"
        return SpecInvalid(what, where={"location": location}, todo=todo)


def guess(
    header: Sequence[str],
    *,
    key: str | None = None,
    updated_at: str | None = None,
    mapping: Mapping[str, str] | None = None,
    array_paths: Sequence[str] = (),
    unique: Sequence[str] | None = None,
    filled: Sequence[str] = (),
) -> Guess:
    """What each of these columns is likely to be; `key`, `updated_at` and `mapping` that are given go before guesses.

    `array_paths` are names of values in arrays, which a branch may map as well; `unique` columns whose first values are
    all there and all different, `filled` those whose are all there, where that is known.

    Raises SpecInvalid for a column or a field that is not there.
    """
    given = dict(mapping or {})
    names = [*header, *array_paths]
    _refuse_unknown([*given.values(), *(name for name in (key, updated_at) if name)], names, "column")
    _refuse_unknown(list(given), [name for name in columns() if name != "external_id"], "field")
    free = _by_word([name for name in names if name not in given.values()])
    key = key or _guess_key(free, unique)
    updated_at = updated_at or _first_of(words.UPDATED_AT, free)
    free = {word: name for word, name in free.items() if name not in (key, updated_at)}
    guessed = {
        field: name
        for field, field_words in words.FIELDS.items()
        if field not in given and (name := _first_of(field_words, free))
    }
    if "name" not in given:
        guessed = {**guessed, **_guess_name(free, {**guessed, **given}, filled)}
    with_halves = _in_order({**_each_column_once(guessed), **given})
    mapped = _in_order({**_without_unpaired(with_halves), **given})
    unpaired = {field: name for field, name in with_halves.items() if field not in mapped}
    points = _first_of(words.POINTS, {word: name for word, name in free.items() if name not in mapped.values()})
    return Guess(key, updated_at, mapped, tuple(unique or ()), tuple(header), unpaired, points)


def count_of_known(names: Sequence[str]) -> int:
    """How many of these are names of columns that we know."""
    return sum(_fold(name) in _all_words() for name in names)


@cache
def _all_words() -> frozenset[str]:
    return frozenset(folded_words(" ".join((words.KEY, words.UPDATED_AT, *words.FIELDS.values()))))


def decimal_comma_locale(header: Sequence[str]) -> str:
    """The locale of numbers with a decimal comma, by the language of the columns' names: German if they have none."""
    return max(words.LANGUAGES, key=lambda language: _count_words(header, language))


def has_words_of_decimal_comma(header: Sequence[str]) -> bool:
    """Whether a column has a name of a language whose numbers have a decimal comma."""
    return any(_count_words(header, language) for language in words.LANGUAGES)


def _count_words(header: Sequence[str], language: str) -> int:
    return len({_fold(name) for name in header} & set(folded_words(words.LANGUAGES[language])))


def _by_word(names: Sequence[str]) -> dict[str, str]:
    """Folded words to the column that has them; whole names go before last steps, outer values before inner ones."""
    whole_names = {_fold(name): name for name in reversed(names)}
    nested = sorted((name for name in reversed(names) if "." in name), key=lambda name: -name.count("."))
    return {**{word: name for name in nested for word in _last_words(name)}, **whole_names}


def _last_words(name: str) -> list[str]:
    *parents, last = name.split(".")
    are_known = set(map(_fold, parents)) <= set(words.PARENTS.split())
    return [_fold(last), _fold(f"{parents[-1]}{last}")] if are_known else []


def _fold(name: str) -> str:
    bare = re.sub(r"\(.*?\)|\[.*?\]", "", name) or name
    bare = re.sub(r"#\s*$", "number", bare)
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", bare.casefold().translate(_WITHOUT_STROKE)))
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFC", plain))


@cache
def folded_words(text: str) -> tuple[str, ...]:
    """The words of a list as the names of columns are compared with them."""
    return tuple(map(_fold, text.split()))


def _first_of(text: str, free: Mapping[str, str]) -> str | None:
    return next((free[word] for word in folded_words(text) if word in free), None)


def _guess_key(free: Mapping[str, str], unique: Sequence[str] | None) -> str | None:
    """A usual name of keys; else the first column called a number of something, if its first values all differ."""
    perhaps_unique = {word: name for word, name in free.items() if unique is None or name in unique}
    usual = _first_of(words.KEY, free) or _first_of(words.PERHAPS_KEY, perhaps_unique)
    numbers = (name for name in unique or () if name in free.values() and _is_key_like(_fold(name)))
    return usual or next(numbers, None)


def _is_key_like(word: str) -> bool:
    return bool(_KEY_LIKE.search(word)) and word not in _words_of_other_fields()


@cache
def _words_of_other_fields() -> frozenset[str]:
    return frozenset(folded_words(" ".join(text for name, text in words.FIELDS.items() if name != "name")))


def _guess_name(free: Mapping[str, str], mapping: Mapping[str, str], filled: Collection[str]) -> dict[str, str]:
    """The likeliest name that no first row lacks, or the likeliest; else what is called the name of something."""
    usual = [free[word] for word in folded_words(words.FIELDS["name"]) if word in free]
    others = [name for word, name in free.items() if word.endswith("name") and not _NAME_OF_OTHER.search(word)]
    taken = {name for field, name in mapping.items() if field != "name"}
    candidates = [name for name in (*usual, *reversed(others)) if name not in taken]
    likeliest = next((name for name in candidates if name in filled), candidates[0] if candidates else None)
    return {"name": likeliest} if likeliest else {}


def _each_column_once(mapping: dict[str, str]) -> dict[str, str]:
    taken: set[str] = set()
    return {field: name for field, name in mapping.items() if not (name in taken or taken.add(name))}


def _in_order(mapping: dict[str, str]) -> dict[str, str]:
    return {field: mapping[field] for field in columns() if field in mapping}


def _without_unpaired(mapping: dict[str, str]) -> dict[str, str]:
    # Half a pair would set every row's value aside; unmapped, it is kept in attributes.
    unpaired = {field for pair in PAIRS for field in pair if len(mapping.keys() & pair) == 1}
    return {field: name for field, name in mapping.items() if field not in unpaired}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(repr(name) for name in names[:_MAX_LISTED]) + more


def _refuse_unknown(names: list[str], known: Sequence[str], kind: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SpecInvalid(
            f"there is no {kind} {', '.join(map(repr, unknown))}; there are: {', '.join(known)}",
            todo="Name one of these.",
        )
