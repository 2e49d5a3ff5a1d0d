"""Sentinels: texts that stand for 'not known', either declared by the branch or unmistakable. They become nulls."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.normalize.cells import as_text
from ingest_project.normalize.columns import note

# Not NA, which is the code of Namibia. Only in `_FIELDS`: in a name, a key or free text, None and Unknown may be meant.
_UNMISTAKABLE = (
    *("N/A", "n/a", "#N/A", "\\N", "NULL", "null", "(null)", "-", "--", "unknown", "Unknown", "UNKNOWN"),
    *("not available", "not provided", "[not provided]", "--None--", "N/D", "n/d", "[ND]", "–", "—"),
    # What pivot tables, pandas, database tools and JavaScript write for a missing value.
    *("(blank)", "<NA>", "[NULL]", "<null>", "nan", "undefined"),
    # Errors of spreadsheet formulas, in English and German.
    *("#NAME?", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NULL!", "#NV", "#WERT!", "#BEZUG!", "#ZAHL!"),
)
_FIELDS = frozenset(
    {
        *("country_code", "region_code", "region_name", "locality", "sublocality", "street", "postal_code"),
        *("latitude", "longitude", "phone", "website_url", "price", "currency"),
    }
)


def without_sentinels(array: pa.Array, field: str, declared: Sequence[str]) -> tuple[pa.Array, pa.Array | None]:
    """The column with nulls for sentinels, and notes on them (None if there are none)."""
    sentinels = [*declared, *(_UNMISTAKABLE if field in _FIELDS and kinds.is_string(array.type) else ())]
    if not sentinels:
        return array, None
    texts = as_text(array)
    is_sentinel = pc.is_in(texts, value_set=pa.array(sentinels, pa.string()))
    if not pc.any(is_sentinel).as_py():
        return array, None
    encoded = pc.if_else(is_sentinel, texts, pa.scalar(None, pa.string())).dictionary_encode()
    notes = [note(field, "sentinel_removed", text, None) for text in encoded.dictionary.to_pylist()]
    cleared = pc.if_else(is_sentinel, pa.scalar(None, array.type), array)
    return cleared, pa.array(notes, pa.string()).take(encoded.indices)
