"""Altered items: rows of core.items whose content does not match their hashes, since somebody changed them by hand.

They are found by computing the hashes again. Change detection trusts the stored hash: without this such a row would be
called unchanged for ever, and its vector would remain that of the old text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from ingest_project.item import ARROW_OF_SQL, columns, content_fields
from ingest_project.normalize.columns import to_json
from ingest_project.normalize.hashing import hashes
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, retried
from ingest_project.postgres.csv_copy import decode_csv
from ingest_project.upsert.id_ranges import RANGE_SIZE, id_ranges

_SQL = statements.load(__name__, "altered.sql")
_HASHES = ("content_hash", "embed_hash")
_FIXED_COLUMNS = {
    "item_id": pa.int64(),
    "external_id": pa.string(),
    "branch": pa.string(),
    "version": pa.int32(),
    **dict.fromkeys(_HASHES, pa.string()),
}
# jsonb gives back a float that was written with an exponent as digits only, so that it looks like a long integer.
_LONG_INTEGER = re.compile(r"-?[0-9]{17,}")
_MAX_AMBIGUOUS = 4  # long integers of one row that are tried both ways


@dataclass(frozen=True)
class AlteredItem:
    """An altered item with the hashes of its content as it is; `embedded`: a field that models see has changed."""

    item_id: int
    external_id: str
    branch: str
    version: int
    content_hash: str
    embed_hash: str
    embedded: bool


def altered_items(
    connection: Connection, branch_id: int | None = None, size: int = RANGE_SIZE
) -> Iterator[AlteredItem]:
    """The altered ones among all live items, or among those of a branch; `size` items are in memory at a time."""
    for after, upto in id_ranges(connection, size):
        yield from _find_altered(_read(connection, after, upto, branch_id))


def repair_hashes(connection: Connection, altered: list[AlteredItem]) -> int:
    """Give altered items the hashes of their content, so that the next ingest sees that they differ from the source.

    Rows that were written meanwhile are left alone. Returns how many were repaired.
    """
    items = sorted(altered, key=lambda item: item.item_id)
    values = {
        "item_ids": [item.item_id for item in items],
        "versions": [item.version for item in items],
        "content": [item.content_hash for item in items],
        "embed": [item.embed_hash for item in items],
    }
    return retried(lambda: connection.execute(_SQL["repair_hashes"], values).rowcount)


def _read(connection: Connection, after: int, upto: int, branch_id: int | None) -> pa.Table:
    names = [sql.Identifier("i", name) for name in content_fields()]
    text = _SQL["copy_items_out"].format(
        columns=sql.SQL(", ").join(names),
        after=sql.Literal(after),
        upto=sql.Literal(upto),
        branch_id=sql.Literal(branch_id),
    )
    with connection.cursor() as cursor, cursor.copy(text) as copy:
        data = b"".join(copy)
    fields = {name: ARROW_OF_SQL[columns()[name].sql] for name in content_fields()}
    return decode_csv(data, {**_FIXED_COLUMNS, **fields, "attributes": pa.string()})


def _find_altered(items: pa.Table) -> Iterator[AlteredItem]:
    compared = _hashes(items, [_canonical(text) for text in items["attributes"].to_pylist()])
    differs = pc.or_(
        pc.not_equal(compared["content"], compared["stored_content"]),
        pc.not_equal(compared["embed"], compared["stored_embed"]),
    )
    suspects = items.filter(differs)
    for at in range(suspects.num_rows):
        if (altered := _altered_item(suspects.slice(at, 1))) is not None:
            yield altered


def _altered_item(row: pa.Table) -> AlteredItem | None:
    """The item of one row; None where its hashes match another spelling of its numbers."""
    item = row.to_pylist()[0]
    for text in _spellings(item["attributes"]):
        compared = _hashes(row, [text]).to_pylist()[0]
        if (compared["content"], compared["embed"]) == (compared["stored_content"], compared["stored_embed"]):
            return None
    compared = _hashes(row, [_canonical(item["attributes"])]).to_pylist()[0]
    names = ("item_id", "external_id", "branch", "version")
    return AlteredItem(
        **{name: item[name] for name in names},
        content_hash=compared["content"],
        embed_hash=compared["embed"],
        embedded=compared["embed"] != compared["stored_embed"],
    )


def _hashes(items: pa.Table, attributes: list[str]) -> pa.Table:
    """The hashes of items with these attributes, beside the stored ones."""
    at = items.schema.get_field_index("attributes")
    content, embed = hashes(items.set_column(at, "attributes", pa.array(attributes, pa.string())))
    stored_content, stored_embed = (pc.replace_substring(items[name], "-", "") for name in _HASHES)
    names = ["content", "embed", "stored_content", "stored_embed"]
    return pa.table([content, embed, stored_content, stored_embed], names=names)


def _canonical(text: str) -> str:
    """JSON from jsonb as normalization writes it: keys sorted, no spaces, floats as in Python."""
    return text if text == "{}" else to_json(json.loads(text))


def _spellings(text: str) -> Iterator[str]:
    """The same attributes with each long number read as an integer and as a float, in all combinations."""
    count = min(len(_LONG_INTEGER.findall(text)), _MAX_AMBIGUOUS)
    for types in product((int, float), repeat=count):
        remaining = iter(types)

        def parse(number: str, remaining: Iterator[type[int] | type[float]] = remaining) -> int | float:
            return next(remaining, int)(number) if _LONG_INTEGER.fullmatch(number) else int(number)

        yield to_json(json.loads(text, parse_int=parse))
