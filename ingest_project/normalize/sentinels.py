"""Texts that stand for 'not known', always noted: the branch declares them, or they can be nothing else."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.normalize.cells import as_text
from ingest_project.normalize.columns import note

# Not NA, which is Namibia and an ident, and never in a name, a key or free words: None and Unknown are real names.
_RECOGNISED = (
    *("N/A", "n/a", "#N/A", "\\N", "NULL", "null", "(null)", "-", "--", "unknown", "Unknown", "UNKNOWN"),
    *("not available", "not provided", "[not provided]", "--None--", "N/D", "n/d", "[ND]", "–", "—"),
    # What programs write for a value that is none: pivot tables, pandas, tools of databases, JavaScript.
    *("(blank)", "<NA>", "[NULL]", "<null>", "nan", "undefined"),
    # What is left in the cell of a spreadsheet whose formula failed, in English and German.
    *("#NAME?", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NULL!", "#NV", "#WERT!", "#BEZUG!", "#ZAHL!"),
)
_FIELDS = frozenset(
    {
        *("country_code", "region_code", "region_name", "locality", "sublocality", "street", "postal_code"),
        *("latitude", "longitude", "phone", "website_url", "price", "currency"),
    }
)


def without_sentinels(array: pa.Array, field: str, declared: Sequence[str]) -> tuple[pa.Array, pa.Array | None]:
    """The column with nulls for sentinels, and the notes on them; None where there are none."""
    known = [*declared, *(_RECOGNISED if field in _FIELDS and kinds.is_string(array.type) else ())]
    if not known:
        return array, None
    texts = as_text(array)
    found = pc.is_in(texts, value_set=pa.array(known, pa.string()))
    if not pc.any(found).as_py():
        return array, None
    encoded = pc.if_else(found, texts, pa.scalar(None, pa.string())).dictionary_encode()
    notes = pa.array(
        [note(field, "sentinel_removed", one, None) for one in encoded.dictionary.to_pylist()], pa.string()
    )
    return pc.if_else(found, pa.scalar(None, array.type), array), notes.take(encoded.indices)
