"""What the columns of a source are, guessed from their names: a start for a person to look over, never the last word.

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

# What a number looks like where a name or a value of a file of lines is one.
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")
# Names of something else than the row.
_OTHERS_NAME = re.compile(
    r"(city|town|street|country|county|state|region|province|user|host|owner|agent|first|last|middle|file|authority|"
    r"contact|group|type|category|brand|chain|parent|source|dataset|layer|column)name$"
)
_KEY_LIKE = re.compile(r"(id|uuid|guid|nr|nummer|number|code|key|ref)$")
# Of Latin, Greek and Cyrillic, and of Arabic; then letters that no normal form takes apart.
_ACCENTS = re.compile("[\u0300-\u036f\u0653-\u0655]")
_WITHOUT_STROKE = str.maketrans({"ı": "i", "ł": "l", "đ": "d", "ø": "o", "æ": "ae", "ð": "d", "þ": "th"})
_SHOWN = 6


@dataclass(frozen=True)
class Guess:
    """What the columns of a source are likely to be; None where nothing fits.

    `candidates` are columns whose first values are all there and all different; `header` all columns; `lonely` halves
    of a pair, which a mapping leaves out; `points` what may hold whole places, if its values do.
    """

    key: str | None
    updated_at: str | None
    mapping: dict[str, str]
    candidates: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    lonely: dict[str, str] = field(default_factory=dict[str, str])
    points: str | None = None

    def spec(self, name: str, location: str, **written: object) -> BranchSpec:
        """A branch of this guess; `written`: other settings. Raises SpecInvalid without key or name."""
        if self.key is None:
            raise self._undecided("key", "names a row", "--key COLUMN", location)
        if "name" not in self.mapping:
            raise self._undecided("name", "is the name of an item", "--map name=COLUMN", location)
        return BranchSpec.model_validate(
            {
                "name": name,
                "source": name,
                "location": location,
                **written,
                "key": self.key,
                "updated_at": self.updated_at,
                "mapping": self.mapping,
            }
        )

    def _undecided(self, what: str, meaning: str, option: str, location: str) -> SpecInvalid:
        told = f"{what}: no column looks as if it {meaning}"
        if self.header:
            told += f"; there are: {_listed(self.header)}"
        if what == "key" and self.candidates:
            told += f"\n    different in each of the first rows: {_listed(self.candidates)}"
        todo = f"Say it: {option}"
        if any(NUMBER.fullmatch(name.strip()) for name in self.header):
            todo = f"The first line looks like a row: put a line of column names before it. Or say it: {option}"
        return SpecInvalid(told, where={"location": location}, todo=todo)


def guess(
    found: Sequence[str],
    *,
    key: str | None = None,
    updated_at: str | None = None,
    mapping: Mapping[str, str] | None = None,
    inside: Sequence[str] = (),
    unique: Sequence[str] | None = None,
    filled: Sequence[str] = (),
) -> Guess:
    """What each of these columns is likely to be; what is said goes before what is guessed.

    `inside` are names of values in arrays, which a branch may map as well; `unique` columns whose first values are
    all there and all different, `filled` such that are all there, where that is known.

    Raises SpecInvalid for a column or a field that is not there.
    """
    said = dict(mapping or {})
    known = [*found, *inside]
    _refuse_unknown([*said.values(), *(name for name in (key, updated_at) if name)], known, "column")
    _refuse_unknown(list(said), [name for name in columns() if name != "external_id"], "field")
    free = _by_word([name for name in known if name not in said.values()])
    key = key or _key(free, unique)
    updated_at = updated_at or _first(words.UPDATED_AT, free)
    free = {folded: name for folded, name in free.items() if name not in (key, updated_at)}
    guessed = {
        field: name for field, known in words.FIELDS.items() if field not in said and (name := _first(known, free))
    }
    if "name" not in said:
        guessed = {**guessed, **_named(free, {**guessed, **said}, filled)}
    whole = _in_order({**_once(guessed), **said})
    paired = _in_order({**_in_pairs(whole), **said})
    lonely = {one: name for one, name in whole.items() if one not in paired}
    points = _first(words.POINTS, {word: name for word, name in free.items() if name not in paired.values()})
    return Guess(key, updated_at, paired, tuple(unique or ()), tuple(found), lonely, points)


def decimal_comma_locale(found: Sequence[str]) -> str:
    """The locale of numbers with a decimal comma, by the language of the columns' names: German if they have none."""
    return max(words.LANGUAGES, key=lambda language: _count_of_language(found, language))


def has_words_of_decimal_comma(found: Sequence[str]) -> bool:
    """Whether a column has a name of a language whose numbers have a decimal comma."""
    return any(_count_of_language(found, language) for language in words.LANGUAGES)


def _count_of_language(found: Sequence[str], language: str) -> int:
    return len({_folded(name) for name in found} & set(folded_words(words.LANGUAGES[language])))


def _by_word(names: Sequence[str]) -> dict[str, str]:
    # What a column's whole name says goes before what its last step says, and outer values before inner ones.
    whole = {_folded(name): name for name in reversed(names)}
    inner = sorted((name for name in reversed(names) if "." in name), key=lambda name: -name.count("."))
    return {**{word: name for name in inner for word in _last_words(name)}, **whole}


def _last_words(name: str) -> list[str]:
    *parents, last = name.split(".")
    known = {_folded(step) for step in parents} <= set(words.PARENTS.split())
    return [_folded(last), _folded(f"{parents[-1]}{last}")] if known else []


def _folded(name: str) -> str:
    bare = re.sub(r"\(.*?\)|\[.*?\]", "", name) or name
    bare = re.sub(r"#\s*$", "number", bare)
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", bare.casefold().translate(_WITHOUT_STROKE)))
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFC", plain))


@cache
def folded_words(known: str) -> tuple[str, ...]:
    """The words of a list as the names of columns are compared with them."""
    return tuple(map(_folded, known.split()))


def _first(known: str, free: Mapping[str, str]) -> str | None:
    return next((free[word] for word in folded_words(known) if word in free), None)


def _key(free: Mapping[str, str], unique: Sequence[str] | None) -> str | None:
    """A usual name of keys; else the first column called a number of something, if its first values all differ."""
    differing = {word: name for word, name in free.items() if unique is None or name in unique}
    perhaps = _first(words.KEY, free) or _first(words.PERHAPS_KEY, differing)
    numbers = (name for name in unique or () if name in free.values() and _KEY_LIKE.search(_folded(name)))
    return perhaps or next(numbers, None)


def _named(free: Mapping[str, str], guessed: Mapping[str, str], filled: Collection[str]) -> dict[str, str]:
    """The likeliest name that no first row lacks, or the likeliest; else what is called the name of something."""
    known = [free[word] for word in folded_words(words.FIELDS["name"]) if word in free]
    others = [name for word, name in free.items() if word.endswith("name") and not _OTHERS_NAME.search(word)]
    taken = {name for field, name in guessed.items() if field != "name"}
    found = [name for name in (*known, *reversed(others)) if name not in taken]
    likeliest = next((name for name in found if name in filled), found[0] if found else None)
    return {"name": likeliest} if likeliest else {}


def _once(mapping: dict[str, str]) -> dict[str, str]:
    taken: set[str] = set()
    return {field: name for field, name in mapping.items() if not (name in taken or taken.add(name))}


def _in_order(mapping: dict[str, str]) -> dict[str, str]:
    return {field: mapping[field] for field in columns() if field in mapping}


def _in_pairs(mapping: dict[str, str]) -> dict[str, str]:
    # Half a pair would set every row's value aside; unmapped, it is kept in attributes.
    lonely = {field for pair in PAIRS for field in pair if len(mapping.keys() & pair) == 1}
    return {field: name for field, name in mapping.items() if field not in lonely}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more


def _refuse_unknown(names: list[str], known: Sequence[str], kind: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SpecInvalid(
            f"there is no {kind} {', '.join(map(repr, unknown))}; there are: {', '.join(known)}",
            todo="Name one of these.",
        )
