"""Rules decide per distinct value, Arrow spreads what they decide over the rows.

A rule takes the texts of a row's fields (None for none) and gives a `Verdict`; the declaration of the item then has
the last word on every value. What is evidently in normal form is accepted without asking, never anything else.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from types import GenericAlias
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ingest_project.item import ARROW_OF_SQL, Item, columns

SHOWN = 200  # characters of a value that is quoted to people


@dataclass(frozen=True)
class Verdict:
    """What the fields of a row become, and the notes (JSON of an issue) that explain each change."""

    values: tuple[Any, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ruled:
    """Columns in normal form, and arrays of notes (null: none) to be joined per row."""

    columns: tuple[pa.Array, ...]
    notes: tuple[pa.Array, ...] = ()


Rule = Callable[..., Verdict]


def storable(text: str) -> str:
    """Without NUL and lone surrogates, which Postgres refuses."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def shown(value: object) -> str | None:
    """A value as quoted to people: cut, and storable."""
    return None if value is None else storable(str(value))[:SHOWN]


def to_json(value: Any) -> str:
    """Canonical JSON: compact, keys sorted, text as it is."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def note(field: str, code: str, was: object, now: object) -> str:
    """The JSON of one issue."""
    return to_json({"field": storable(field), "code": code, "from": shown(was), "to": shown(now)})


def as_one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def accepted_pattern(array: pa.Array, pattern: str) -> pa.Array:
    """Which texts match; nulls do not."""
    return pc.fill_null(pc.match_substring_regex(array, pattern), False)


def arrow_type(field: str) -> pa.DataType:
    """How values of a field are kept in parts."""
    return ARROW_OF_SQL[columns()[field].sql]


def join_fragments(fragments: Sequence[pa.Array], rows: int, before: str, after: str) -> pa.Array:
    """The fragments of each row that are not null, joined by commas between two brackets."""
    told = [one for one in fragments if one.null_count < len(one)]
    if not told:
        return pa.repeat(pa.scalar(before + after), rows)
    some = reduce(pc.or_, map(pc.is_valid, told))
    if not pc.all(some).as_py():
        # Few rows have a note, or a column that is no field: these are joined by themselves.
        joined = join_fragments([one.filter(some) for one in told], some.true_count, before, after)
        return pc.replace_with_mask(pa.repeat(pa.scalar(before + after), rows), some, joined)
    # Not null_handling="skip": pyarrow 26 leaves out the rows in which all are null.
    led = [pc.fill_null(pc.binary_join_element_wise(",", one, ""), "") for one in told]
    joined = pc.binary_join_element_wise(before, *led, after, "")
    return pc.replace_substring(joined, f"{before},", before, max_replacements=1)


def apply_column(array: pa.Array, field: str, rule: Rule, accepted: pa.Array | None = None) -> Ruled:
    """One column of text by a rule of one text; rows marked `accepted` stay as they are."""
    if accepted is None:
        return apply_tuples([array], (field,), rule)
    return apply_others([array], (field,), rule, pc.or_(accepted, pc.is_null(array)), [array])


def apply_others(
    arrays: Sequence[pa.Array], fields: tuple[str, ...], rule: Rule, accepted: pa.Array, kept: Sequence[pa.Array]
) -> Ruled:
    """As `apply_tuples`, but for rows marked `accepted`, which have the values of `kept` without a note."""
    values = [one.cast(arrow_type(field)) for one, field in zip(kept, fields, strict=True)]
    odd = pc.invert(accepted)
    if not pc.any(odd).as_py():
        return Ruled(tuple(values))
    ruled = apply_tuples([array.filter(odd) for array in arrays], fields, rule)
    found = zip(values, ruled.columns, strict=True)
    made = tuple(pc.replace_with_mask(value, odd, decided) for value, decided in found)
    return Ruled(made, tuple(spread(odd, one) for one in ruled.notes))


def spread(mask: pa.Array, notes: pa.Array) -> pa.Array:
    """Notes on the marked rows, as notes on all rows."""
    return pc.replace_with_mask(pa.nulls(len(mask), pa.string()), mask, notes)


def apply_tuples(arrays: Sequence[pa.Array], fields: tuple[str, ...], rule: Rule) -> Ruled:
    """Texts of several columns by a rule of as many texts, which gives a value for each of `fields`."""
    tuples, places = _distinct(arrays)
    verdicts = [rule(*texts) for texts in tuples]
    made: list[pa.Array] = []
    extra: list[list[str]] = [list(verdict.notes) for verdict in verdicts]
    for at, field in enumerate(fields):
        values = [verdict.values[at] for verdict in verdicts]
        for index, code in _refused(field, values).items():
            extra[index].append(note(field, code, values[index], None))
            values[index] = None
        made.append(pa.array(values, arrow_type(field)).take(places))
    if not any(extra):
        return Ruled(tuple(made))
    notes = pa.array([",".join(found) or None for found in extra], pa.string())
    return Ruled(tuple(made), (notes.take(places),))


def _distinct(arrays: Sequence[pa.Array]) -> tuple[list[tuple[str | None, ...]], pa.Array]:
    encoded = [array.dictionary_encode(null_encoding="encode") for array in arrays]
    texts = [one.dictionary.to_pylist() for one in encoded]
    if len(arrays) == 1:
        return list(zip(*texts, strict=True)), encoded[0].indices
    # Each column's distinct values are numbered; a row's numbers together name its tuple.
    combined = np.zeros(len(arrays[0]), np.int64)
    for one, values in zip(encoded, texts, strict=True):
        combined = combined * max(len(values), 1) + one.indices.to_numpy(zero_copy_only=False)
    numbered = pa.array(combined).dictionary_encode()
    rows = np.empty(len(numbered.dictionary), np.int64)
    rows[numbered.indices.to_numpy()] = np.arange(len(combined))  # one that has the tuple
    columns = [array.take(pa.array(rows)).to_pylist() for array in arrays]
    return list(zip(*columns, strict=True)), numbered.indices


@cache
def _declared(field: str) -> TypeAdapter[list[Any]]:
    info = Item.model_fields[field]
    kind: Any = Annotated[(info.annotation, *info.metadata)]  # pyright: ignore[reportInvalidTypeForm]
    several: Any = GenericAlias(list, (kind,))
    return TypeAdapter(several, config=ConfigDict(strict=True))


def _refused(field: str, values: list[Any]) -> dict[int, str]:
    """Which of the values the declaration does not allow, and the code that says so."""
    try:
        _declared(field).validate_python(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
        return {
            int(one["loc"][0]): "too_long" if one["type"].endswith("too_long") else "invalid_value"
            for one in mistakes
            if values[int(one["loc"][0])] is not None
        }
    return {}
