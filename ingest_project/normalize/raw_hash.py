"""The raw hash of a source row, 128 bits over all of its values before normalization: equal hashes mean equal rows.

It is the start of a sha256 over the names and types of the columns, then each value as `<bytes>:<value>`, or `~` for
null. The row number is not part of it: a row that only moved is the same row.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.extract.source import ROW
from ingest_project.normalize.cells import as_json
from ingest_project.normalize.columns import as_array
from ingest_project.normalize.hashing import BYTES, pieces

HASH = pa.binary(BYTES)
_WIDTHS = {32: pa.int32(), 64: pa.int64()}


def raw_hashes(page: pa.Table) -> pa.Array:
    """The raw hash of each row, of the type `HASH`."""
    columns = [
        (field.name, as_array(page.column(index))) for index, field in enumerate(page.schema) if field.name != ROW
    ]
    layout = repr([(name, str(array.type)) for name, array in columns]).encode("utf-8", "surrogatepass")
    digests = pieces(comparable(array) for _, array in columns).digests(layout, [len(columns)])[0]
    return pa.FixedSizeBinaryArray.from_buffers(HASH, page.num_rows, [None, pa.py_buffer(digests)])


def comparable(array: pa.Array) -> pa.Array:
    """The values as bytes, such that different values have different bytes; text need not be UTF-8."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kinds.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if kinds.is_temporal(array.type) and not kinds.is_interval(array.type):
        array = array.view(_WIDTHS[array.type.bit_width])
    if kinds.is_float16(array.type):
        array = array.cast(pa.float32())
    if kinds.is_nested(array.type) or kinds.is_interval(array.type):
        array = as_json(array, "")[0]
    if kinds.is_primitive(array.type) or kinds.is_decimal(array.type) or kinds.is_null(array.type):
        array = array.cast(pa.string())
    return array.cast(pa.binary())
