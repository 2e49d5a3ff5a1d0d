"""How rules are applied to columns: once per distinct value, after which Arrow copies the results to the rows.

A rule takes the texts of one or several fields of a row (None for a blank) and returns a `Verdict`. Every value is then
validated against the declaration of the item. Kernels may accept values without asking the rule, if they are evidently
in normal form.
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

EXCERPT_LENGTH = 200


@dataclass(frozen=True)
class Verdict:
    """The values of a row's fields after a rule, and a note (the JSON of an issue) for each change."""

    values: tuple[Any, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuledColumns:
    """Columns after a rule, and arrays of notes (null where a row has none)."""

    columns: tuple[pa.Array, ...]
    notes: tuple[pa.Array, ...] = ()


Rule = Callable[..., Verdict]


def storable(text: str) -> str:
    """The text without NUL and lone surrogates, which Postgres refuses."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def excerpt(value: object) -> str | None:
    """A value as it is quoted to people: cut to `EXCERPT_LENGTH` characters, and storable."""
    return None if value is None else storable(str(value))[:EXCERPT_LENGTH]


def to_json(value: Any) -> str:
    """Canonical JSON: compact, keys sorted, no character escaped that need not be."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def note(field: str, code: str, was: object, now: object) -> str:
    """The JSON of one issue."""
    return to_json({"field": storable(field), "code": code, "from": excerpt(was), "to": excerpt(now)})


def as_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def matches_pattern(array: pa.Array, pattern: str) -> pa.Array:
    """Which texts match the pattern (RE2); nulls do not."""
    return pc.fill_null(pc.match_substring_regex(array, pattern), False)


def arrow_type(field: str) -> pa.DataType:
    """The type of a field in stored parts."""
    return ARROW_OF_SQL[columns()[field].sql]


def join_fragments(fragments: Sequence[pa.Array], rows: int, before: str, after: str) -> pa.Array:
    """The fragments of each row that are not null, joined by commas and enclosed in `before` and `after`."""
    used = [array for array in fragments if array.null_count < len(array)]
    if not used:
        return pa.repeat(pa.scalar(before + after), rows)
    has_any = reduce(pc.or_, map(pc.is_valid, used))
    if not pc.all(has_any).as_py():
        # Usually few rows have any: only those are joined.
        joined = join_fragments([array.filter(has_any) for array in used], has_any.true_count, before, after)
        return pc.replace_with_mask(pa.repeat(pa.scalar(before + after), rows), has_any, joined)
    # Not null_handling="skip": pyarrow 26 leaves out the rows in which all are null.
    with_comma = [pc.fill_null(pc.binary_join_element_wise(",", array, ""), "") for array in used]
    joined = pc.binary_join_element_wise(before, *with_comma, after, "")
    return pc.replace_substring(joined, f"{before},", before, max_replacements=1)


def apply_to_column(array: pa.Array, field: str, rule: Rule, accepted: pa.Array) -> RuledColumns:
    """Apply a rule of one text to a column; nulls and rows marked `accepted` stay as they are."""
    return apply_unless_accepted([array], (field,), rule, pc.or_(accepted, pc.is_null(array)), [array])


def apply_unless_accepted(
    arrays: Sequence[pa.Array], fields: tuple[str, ...], rule: Rule, accepted: pa.Array, kept: Sequence[pa.Array]
) -> RuledColumns:
    """Like `apply_rule`, but rows marked `accepted` get their values from `kept`, without a note."""
    columns = [array.cast(arrow_type(field)) for array, field in zip(kept, fields, strict=True)]
    rest = pc.invert(accepted)
    if not pc.any(rest).as_py():
        return RuledColumns(tuple(columns))
    ruled = apply_rule([array.filter(rest) for array in arrays], fields, rule)
    pairs = zip(columns, ruled.columns, strict=True)
    merged = tuple(pc.replace_with_mask(column, rest, decided) for column, decided in pairs)
    return RuledColumns(merged, tuple(scatter(rest, notes) for notes in ruled.notes))


def scatter(mask: pa.Array, notes: pa.Array) -> pa.Array:
    """Put the notes at the marked rows; the other rows are null."""
    return pc.replace_with_mask(pa.nulls(len(mask), pa.string()), mask, notes)


def apply_rule(arrays: Sequence[pa.Array], fields: tuple[str, ...], rule: Rule) -> RuledColumns:
    """Apply a rule to as many columns of text as it has parameters; its verdict has a value for each of `fields`."""
    tuples, indices = _distinct_tuples(arrays)
    verdicts = [rule(*texts) for texts in tuples]
    columns: list[pa.Array] = []
    notes = [list(verdict.notes) for verdict in verdicts]
    for position, field in enumerate(fields):
        values = [verdict.values[position] for verdict in verdicts]
        for index, code in _invalid_values(field, values).items():
            notes[index].append(note(field, code, values[index], None))
            values[index] = None
        columns.append(pa.array(values, arrow_type(field)).take(indices))
    if not any(notes):
        return RuledColumns(tuple(columns))
    joined = pa.array([",".join(several) or None for several in notes], pa.string())
    return RuledColumns(tuple(columns), (joined.take(indices),))


def _distinct_tuples(arrays: Sequence[pa.Array]) -> tuple[list[tuple[str | None, ...]], pa.Array]:
    """The distinct tuples of the columns, and the index of each row's tuple in them."""
    encoded = [array.dictionary_encode(null_encoding="encode") for array in arrays]
    texts = [array.dictionary.to_pylist() for array in encoded]
    if len(arrays) == 1:
        return list(zip(*texts, strict=True)), encoded[0].indices
    # The indices of a row in the dictionaries of its columns, combined into one number, identify its tuple.
    combined = np.zeros(len(arrays[0]), np.int64)
    for array, values in zip(encoded, texts, strict=True):
        combined = combined * max(len(values), 1) + array.indices.to_numpy(zero_copy_only=False)
    numbered = pa.array(combined).dictionary_encode()
    rows = np.empty(len(numbered.dictionary), np.int64)
    rows[numbered.indices.to_numpy()] = np.arange(len(combined))  # for each tuple, a row that has it
    columns = [array.take(pa.array(rows)).to_pylist() for array in arrays]
    return list(zip(*columns, strict=True)), numbered.indices


@cache
def _list_adapter(field: str) -> TypeAdapter[list[Any]]:
    info = Item.model_fields[field]
    kind: Any = Annotated[(info.annotation, *info.metadata)]  # pyright: ignore[reportInvalidTypeForm]
    several: Any = GenericAlias(list, (kind,))
    return TypeAdapter(several, config=ConfigDict(strict=True))


def _invalid_values(field: str, values: list[Any]) -> dict[int, str]:
    """The index of each value that the declaration of the item does not allow, and the code of the issue."""
    try:
        _list_adapter(field).validate_python(values)
    except ValidationError as error:
        codes = {
            int(detail["loc"][0]): "too_long" if detail["type"].endswith("too_long") else "invalid_value"
            for detail in error.errors(include_url=False, include_input=False)
        }
        return {index: code for index, code in codes.items() if values[index] is not None}
    return {}
