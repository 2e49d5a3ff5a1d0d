"""What the mapping does not name is kept: one JSON object a row, keys sorted, blanks left out."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.branches.spec import BranchSpec
from ingest_project.normalize.cells import as_json, blank_to_null, plain
from ingest_project.normalize.columns import join_fragments, note, to_json
from ingest_project.normalize.text import storable

OURS = ("__row", "__malformed")


def attributes(page: pa.Table, spec: BranchSpec) -> tuple[pa.Array, list[pa.Array]]:
    """Attributes of each row as canonical JSON, and the notes on values that had to change."""
    fragments: list[pa.Array] = []
    notes: list[pa.Array] = []
    for key, column in _named(page, spec):
        array, damaged = plain(column)
        field = f"attributes.{key}"
        found, noted = as_json(blank_to_null(array) if pa.types.is_string(array.type) else array, field)
        fragments.append(pc.binary_join_element_wise(f"{to_json(key)}:", found, ""))
        notes += [one for one in (noted, damage_notes(field, array, damaged)) if one is not None]
    return join_fragments(fragments, page.num_rows, "{", "}"), notes


def damage_notes(field: str, array: pa.Array, damaged: pa.Array | None) -> pa.Array | None:
    """The notes on bytes that were no UTF-8."""
    if damaged is None:
        return None
    pairs = zip(damaged.to_pylist(), array.to_pylist(), strict=True)
    notes = [note(field, "not_utf8", before, after) if before is not None else None for before, after in pairs]
    return pa.array(notes, pa.string())


def _named(page: pa.Table, spec: BranchSpec) -> list[tuple[str, pa.ChunkedArray]]:
    if spec.unmapped == "drop":
        return []
    used = {*spec.declared_columns(), *OURS}
    spare = [(name, page.column(at)) for at, name in enumerate(page.column_names) if name not in used]
    return sorted(_distinct_names(spare), key=lambda pair: pair[0])


def _distinct_names(named: Iterable[tuple[str, pa.ChunkedArray]]) -> list[tuple[str, pa.ChunkedArray]]:
    """Two headers may be one key after cleaning: the later ones get a number, so that nothing is lost."""
    found: dict[str, pa.ChunkedArray] = {}
    for name, column in named:
        key, count = storable(name), 2
        while key in found:
            key, count = f"{storable(name)}_{count}", count + 1
        found[key] = column
    return list(found.items())
