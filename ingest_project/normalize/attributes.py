"""What the mapping does not name is kept: one JSON object a row, keys sorted, blanks left out.

So is a mapped value that was set aside and is longer than its note quotes: nothing else in the item has it whole.
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
from ingest_project.normalize.cells import as_json, as_text, geometry_text, plain, without_blanks
from ingest_project.normalize.columns import SHOWN, as_one, join_fragments, note, spread, storable, to_json
from ingest_project.normalize.geometry import FIELDS

_Column = pa.Array | pa.ChunkedArray
_Named = TypeVar("_Named")


def attributes(
    page: pa.Table, spec: BranchSpec, made: Mapping[str, pa.Array] | None = None
) -> tuple[pa.Array, list[pa.Array]]:
    """Attributes of each row as canonical JSON, and the notes on values that had to change.

    `made` are the item's own fields: what became of the columns that are mapped.
    """
    fragments: list[pa.Array] = []
    notes: list[pa.Array] = []
    named = _named(page, spec, _set_aside(page, spec, made or {}))
    for key, column in named.items():
        found, told = _values(key, column)
        fragments.append(pc.binary_join_element_wise(f"{to_json(key)}:", found, ""))
        notes += told
    joined = join_fragments(fragments, page.num_rows, "{", "}")
    if MORE not in page.column_names or spec.unmapped == "drop":
        return joined, notes
    joined, told = _with_late(joined, _late(as_one(page.column(MORE)), named))
    return joined, [*notes, *told]


def damage_notes(field: str, array: pa.Array, damaged: pa.Array | None, code: str = "not_utf8") -> list[pa.Array]:
    """The notes on bytes that were no UTF-8."""
    if damaged is None:
        return []
    pairs = zip(damaged.to_pylist(), array.to_pylist(), strict=True)
    notes = [note(field, code, before, after) if before is not None else None for before, after in pairs]
    return [pa.array(notes, pa.string())]


def _values(key: str, column: _Column) -> tuple[pa.Array, list[pa.Array]]:
    """What a key has in each row, as JSON, and the notes on it."""
    field = f"attributes.{key}"
    array, damaged = plain(column, whole=True)
    unseen = None
    if kinds.is_string(array.type):
        array, unseen = without_blanks(array, field)
    found, noted = as_json(array, field)
    told = [one for one in (noted, unseen) if one is not None]
    return found, [*told, *damage_notes(field, array, damaged, "bytes_encoded")]


def _with_late(joined: pa.Array, late: Mapping[str, Mapping[int, str]]) -> tuple[pa.Array, list[pa.Array]]:
    """The objects with keys that have no column as well, as if they had one: which have is up to the order of rows.

    `late` are texts by key and row. Only JSON has such keys, of which all is text.
    """
    objects: dict[int, dict[str, str]] = {}
    notes: list[pa.Array] = []
    for key, said in late.items():
        found, told = _values(key, pa.array(said.values(), pa.string()))
        for at, value in zip(said, found.to_pylist(), strict=True):
            objects.setdefault(at, {}).update({} if value is None else {key: json.loads(value)})
        has_key = pa.array([at in said for at in range(len(joined))])
        notes += [spread(has_key, one) for one in told]
    if not objects:
        return joined, notes
    told = joined.to_pylist()
    whole = [to_json({**json.loads(own), **objects[at]}) if at in objects else own for at, own in enumerate(told)]
    return pa.array(whole, pa.string()), notes


def _late(more: pa.Array, named: Collection[str]) -> dict[str, dict[int, str]]:
    """What stands in `__more`: texts by key and row; `named` are the keys that columns have."""
    found: dict[str, dict[int, str]] = {}
    for at, text in enumerate(more.to_pylist()):
        for name, value in ((text and parse_row(text, None)) or {}).items():
            if value is not None:
                found.setdefault(name, {})[at] = to_json(value) if isinstance(value, bool) else value
    return _distinct_names(found.items(), named)


def _named(page: pa.Table, spec: BranchSpec, aside: Iterable[tuple[str, pa.Array]]) -> dict[str, _Column]:
    used = {*spec.declared_columns(), ROW, MALFORMED, MORE}
    spare = [(name, page.column(at)) for at, name in enumerate(page.column_names) if name not in used]
    named = _distinct_names([*aside, *(spare if spec.unmapped == "keep" else [])])
    return dict(sorted(named.items()))


def _set_aside(page: pa.Table, spec: BranchSpec, made: Mapping[str, pa.Array]) -> list[tuple[str, pa.Array]]:
    """The mapped columns, with nothing but what is too long for a note and is in no field as it came."""
    lost: dict[str, pa.Array] = {}
    for field, mapped in spec.mapping.items():
        if field not in made or mapped.column is None or mapped.column == spec.key:
            continue
        told = _lost(page.column(mapped.column), made[field], field)
        if told is not None:
            lost[mapped.column] = pc.or_(lost[mapped.column], told) if mapped.column in lost else told
    return [(name, _only(as_one(page.column(name)), which)) for name, which in lost.items()]


def _lost(column: _Column, made: pa.Array, field: str) -> pa.Array | None:
    """Which values are in no field, or not as they came, and are longer than a note quotes; None for none."""
    if kinds.is_primitive(column.type):
        return None
    if kinds.is_string(column.type) and (pc.max(pc.binary_length(column)).as_py() or 0) <= SHOWN:
        return None  # nearly always: asked before anything is made of the column
    array, damaged = plain(column)
    is_lost = pc.is_null(made) if damaged is None else pc.or_(pc.is_null(made), pc.is_valid(damaged))
    if not pc.any(pc.and_(is_lost, pc.is_valid(array))).as_py():
        return None
    quoted = as_text(array) if damaged is None else pc.coalesce(damaged, array)
    if field in FIELDS:  # whose notes have bytes in hex
        quoted = geometry_text(column)
    is_lost = pc.and_(is_lost, pc.fill_null(pc.greater(pc.utf8_length(quoted), SHOWN), False))
    return is_lost if pc.any(is_lost).as_py() else None


def _only(array: pa.Array, which: pa.Array) -> pa.Array:
    places = pa.array(range(len(array)), pa.int64())
    return array.take(pc.if_else(which, places, pa.scalar(None, pa.int64())))


def _distinct_names(named: Iterable[tuple[str, _Named]], taken: Collection[str] = ()) -> dict[str, _Named]:
    """Two headers may be one key after cleaning: the later ones get a number, so that nothing is lost."""
    found: dict[str, _Named] = {}
    for name, value in named:
        key, count = storable(name), 2
        while key in found or key in taken:
            key, count = f"{storable(name)}_{count}", count + 1
        found[key] = value
    return found
