"""`attributes`: the columns that no field is mapped to, as one JSON object per row, keys sorted, without blanks.

It also has the mapped values that were set aside and are too long to be quoted in full by their note.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.branches.spec import BranchSpec
from ingest_project.extract.json_rows import parse_row
from ingest_project.extract.source import MALFORMED, MORE, ROW
from ingest_project.normalize.cells import as_json, as_text, decode, geometry_text, without_blanks
from ingest_project.normalize.columns import EXCERPT_LENGTH, as_array, join_fragments, note, scatter, storable, to_json
from ingest_project.normalize.geometry import FIELDS

_Column = pa.Array | pa.ChunkedArray
_Value = TypeVar("_Value")


def attributes(
    page: pa.Table, spec: BranchSpec, fields: Mapping[str, pa.Array] | None = None
) -> tuple[pa.Array, list[pa.Array]]:
    """The attributes of each row as canonical JSON, and the notes on values that had to change.

    `fields` are the fields of the items after normalization, by which lost values are recognized.
    """
    fragments: list[pa.Array] = []
    notes: list[pa.Array] = []
    columns = _attribute_columns(page, spec, _lost_values(page, spec, fields or {}))
    for key, column in columns.items():
        values, value_notes = _json_values(key, column)
        fragments.append(pc.binary_join_element_wise(f"{to_json(key)}:", values, ""))
        notes += value_notes
    objects = join_fragments(fragments, page.num_rows, "{", "}")
    if MORE not in page.column_names or spec.unmapped == "drop":
        return objects, notes
    objects, late_notes = _add_late_keys(objects, _late_keys(as_array(page.column(MORE)), columns))
    return objects, [*notes, *late_notes]


def damage_notes(field: str, array: pa.Array, damaged: pa.Array | None, code: str = "not_utf8") -> list[pa.Array]:
    """Notes on the values that `decode` had to change: `damaged` has them as they were."""
    if damaged is None:
        return []
    pairs = zip(damaged.to_pylist(), array.to_pylist(), strict=True)
    notes = [note(field, code, before, after) if before is not None else None for before, after in pairs]
    return [pa.array(notes, pa.string())]


def _json_values(key: str, column: _Column) -> tuple[pa.Array, list[pa.Array]]:
    """The values of one key as JSON, and the notes on them."""
    field = f"attributes.{key}"
    array, damaged = decode(column, lossless=True)
    blank_notes = None
    if kinds.is_string(array.type):
        array, blank_notes = without_blanks(array, field)
    values, json_notes = as_json(array, field)
    notes = [notes for notes in (json_notes, blank_notes) if notes is not None]
    return values, [*notes, *damage_notes(field, array, damaged, "bytes_encoded")]


def _add_late_keys(objects: pa.Array, late_keys: Mapping[str, Mapping[int, str]]) -> tuple[pa.Array, list[pa.Array]]:
    """Add keys without a column to the objects, as if they had one: which keys have depends on the order of rows.

    `late_keys` are texts by key and row. They come from JSON, whose values are read as text.
    """
    additions: dict[int, dict[str, str]] = {}
    notes: list[pa.Array] = []
    for key, texts in late_keys.items():
        values, value_notes = _json_values(key, pa.array(texts.values(), pa.string()))
        for row, value in zip(texts, values.to_pylist(), strict=True):
            additions.setdefault(row, {}).update({} if value is None else {key: json.loads(value)})
        has_key = pa.array([row in texts for row in range(len(objects))])
        notes += [scatter(has_key, one) for one in value_notes]
    if not additions:
        return objects, notes
    extended = [
        to_json({**json.loads(text), **additions[row]}) if row in additions else text
        for row, text in enumerate(objects.to_pylist())
    ]
    return pa.array(extended, pa.string()), notes


def _late_keys(more: pa.Array, taken: Collection[str]) -> dict[str, dict[int, str]]:
    """The content of the column `__more`, as texts by key and row; `taken` are the keys of columns."""
    late_keys: dict[str, dict[int, str]] = {}
    for row, text in enumerate(more.to_pylist()):
        for name, value in ((text and parse_row(text, None)) or {}).items():
            if value is not None:
                late_keys.setdefault(name, {})[row] = to_json(value) if isinstance(value, bool) else value
    return _with_distinct_keys(late_keys.items(), taken)


def _attribute_columns(page: pa.Table, spec: BranchSpec, lost: Iterable[tuple[str, pa.Array]]) -> dict[str, _Column]:
    used = {*spec.declared_columns(), ROW, MALFORMED, MORE}
    unmapped = [(name, page.column(index)) for index, name in enumerate(page.column_names) if name not in used]
    columns = _with_distinct_keys([*lost, *(unmapped if spec.unmapped == "keep" else [])])
    return dict(sorted(columns.items()))


def _lost_values(page: pa.Table, spec: BranchSpec, fields: Mapping[str, pa.Array]) -> list[tuple[str, pa.Array]]:
    """The mapped columns with values that are lost: not in their field as they came, and too long for a note."""
    lost: dict[str, pa.Array] = {}
    for field, mapped in spec.mapping.items():
        if field not in fields or mapped.column is None or mapped.column == spec.key:
            continue
        is_lost = _is_lost(page.column(mapped.column), fields[field], field)
        if is_lost is not None:
            lost[mapped.column] = pc.or_(lost[mapped.column], is_lost) if mapped.column in lost else is_lost
    return [(name, _null_unless(is_lost, as_array(page.column(name)))) for name, is_lost in lost.items()]


def _is_lost(column: _Column, normalized: pa.Array, field: str) -> pa.Array | None:
    """Which values are not in their field as they came, and are too long for a note; None if none are."""
    if kinds.is_primitive(column.type):
        return None
    if kinds.is_string(column.type) and (pc.max(pc.binary_length(column)).as_py() or 0) <= EXCERPT_LENGTH:
        return None  # the usual case, which costs nothing more
    array, damaged = decode(column)
    is_lost = pc.is_null(normalized) if damaged is None else pc.or_(pc.is_null(normalized), pc.is_valid(damaged))
    if not pc.any(pc.and_(is_lost, pc.is_valid(array))).as_py():
        return None
    quoted = as_text(array) if damaged is None else pc.coalesce(damaged, array)
    if field in FIELDS:  # notes on coordinates quote bytes in hex
        quoted = geometry_text(column)
    is_lost = pc.and_(is_lost, pc.fill_null(pc.greater(pc.utf8_length(quoted), EXCERPT_LENGTH), False))
    return is_lost if pc.any(is_lost).as_py() else None


def _null_unless(mask: pa.Array, array: pa.Array) -> pa.Array:
    indices = pa.array(range(len(array)), pa.int64())
    return array.take(pc.if_else(mask, indices, pa.scalar(None, pa.int64())))


def _with_distinct_keys(pairs: Iterable[tuple[str, _Value]], taken: Collection[str] = ()) -> dict[str, _Value]:
    """The pairs by storable key. Two names may become the same key: later ones get a number, so that none is lost."""
    by_key: dict[str, _Value] = {}
    for name, value in pairs:
        key, count = storable(name), 2
        while key in by_key or key in taken:
            key, count = f"{storable(name)}_{count}", count + 1
        by_key[key] = value
    return by_key
