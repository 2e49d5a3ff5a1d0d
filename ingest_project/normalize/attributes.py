"""What the mapping does not name is kept: one JSON object a row, keys sorted, blanks left out.

So is a mapped value that was set aside and is longer than its note quotes: nothing else in the item has it whole.
"""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.branches.spec import BranchSpec
from ingest_project.normalize.cells import as_json, plain, without_blanks
from ingest_project.normalize.columns import SHOWN, join_fragments, note, to_json
from ingest_project.normalize.text import storable

OURS = ("__row", "__malformed")


def attributes(
    page: pa.Table, spec: BranchSpec, made: Mapping[str, pa.Array] | None = None
) -> tuple[pa.Array, list[pa.Array]]:
    """Attributes of each row as canonical JSON, and the notes on values that had to change.

    `made` are the item's own fields: what became of the columns that are mapped.
    """
    fragments: list[pa.Array] = []
    notes: list[pa.Array] = []
    for key, column in _named(page, spec, _set_aside(page, spec, made or {})):
        array, damaged = plain(column)
        field = f"attributes.{key}"
        unseen = None
        if pa.types.is_string(array.type):
            array, unseen = without_blanks(array, field)
        found, noted = as_json(array, field)
        fragments.append(pc.binary_join_element_wise(f"{to_json(key)}:", found, ""))
        notes += [one for one in (noted, unseen, damage_notes(field, array, damaged)) if one is not None]
    return join_fragments(fragments, page.num_rows, "{", "}"), notes


def damage_notes(field: str, array: pa.Array, damaged: pa.Array | None) -> pa.Array | None:
    """The notes on bytes that were no UTF-8."""
    if damaged is None:
        return None
    pairs = zip(damaged.to_pylist(), array.to_pylist(), strict=True)
    notes = [note(field, "not_utf8", before, after) if before is not None else None for before, after in pairs]
    return pa.array(notes, pa.string())


def _named(
    page: pa.Table, spec: BranchSpec, aside: Iterable[tuple[str, pa.Array]]
) -> list[tuple[str, pa.Array | pa.ChunkedArray]]:
    used = {*spec.declared_columns(), *OURS}
    spare = [(name, page.column(at)) for at, name in enumerate(page.column_names) if name not in used]
    named = [*aside, *(spare if spec.unmapped == "keep" else [])]
    return sorted(_distinct_names(named), key=lambda pair: pair[0])


def _set_aside(page: pa.Table, spec: BranchSpec, made: Mapping[str, pa.Array]) -> list[tuple[str, pa.Array]]:
    """The mapped columns of text, with nothing but what is too long for a note and is in no field."""
    found: dict[str, pa.Array] = {}
    for field, mapped in spec.mapping.items():
        if field not in made or mapped.column is None or mapped.column == spec.key:
            continue
        column = page.column(mapped.column)
        if pa.types.is_string(column.type) and (pc.max(pc.binary_length(column)).as_py() or 0) <= SHOWN:
            continue  # nearly always: asked before anything is made of the column
        text = plain(column)[0]
        if not pa.types.is_string(text.type):
            continue
        lost = pc.and_(pc.is_null(made[field]), pc.greater(pc.utf8_length(text), SHOWN))
        if pc.any(lost).as_py():
            kept = pc.if_else(lost, text, pa.scalar(None, pa.string()))
            found[mapped.column] = pc.coalesce(found[mapped.column], kept) if mapped.column in found else kept
    return list(found.items())


def _distinct_names(
    named: Iterable[tuple[str, pa.Array | pa.ChunkedArray]],
) -> list[tuple[str, pa.Array | pa.ChunkedArray]]:
    """Two headers may be one key after cleaning: the later ones get a number, so that nothing is lost."""
    found: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name, column in named:
        key, count = storable(name), 2
        while key in found:
            key, count = f"{storable(name)}_{count}", count + 1
        found[key] = column
    return list(found.items())
