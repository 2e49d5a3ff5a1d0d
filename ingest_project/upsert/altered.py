"""Rows of core.items that say something else than their hashes: changed by hand, not by an ingest.

Their hashes are computed again from what they say. Change detection trusts the stored hash, so such a row would be
called unchanged for ever, and its vector would be of a text that is no more.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from ingest_project.item import ARROW_OF_SQL, columns, content_fields
from ingest_project.normalize.columns import to_json
from ingest_project.normalize.hashing import hashes
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, retried
from ingest_project.postgres.csv_copy import decoded
from ingest_project.upsert.id_ranges import RANGE, ranges

_SQL = statements.load(__name__, "altered.sql")
_KNOWN = {
    "item_id": pa.int64(),
    "external_id": pa.string(),
    "branch": pa.string(),
    "version": pa.int32(),
    "content_hash": pa.string(),
    "embed_hash": pa.string(),
}
# As jsonb gives back a float that was written with an exponent; an integer of this length looks the same.
_LONG = re.compile(r"-?[0-9]{17,}")
_TRIED = 4


@dataclass(frozen=True)
class Altered:
    """An item that does not say what its hashes say; `embedded`: in a field that models see."""

    item_id: int
    external_id: str
    branch: str
    version: int
    content_hash: str
    embed_hash: str
    embedded: bool


def altered_items(connection: Connection, branch_id: int | None = None, size: int = RANGE) -> Iterator[Altered]:
    """The altered ones among all live items, or among a branch's; `size` of them are in memory at a time."""
    for after, upto in ranges(connection, size):
        yield from _altered(_read(connection, after, upto, branch_id))


def mend(connection: Connection, altered: list[Altered]) -> int:
    """Give rows the hashes of what they say, so that the next ingest finds that they are not what the source says.

    Rows that were written meanwhile are left alone. Returns how many were mended.
    """
    ordered = sorted(altered, key=lambda one: one.item_id)
    values = {
        "item_ids": [one.item_id for one in ordered],
        "versions": [one.version for one in ordered],
        "content": [one.content_hash for one in ordered],
        "embed": [one.embed_hash for one in ordered],
    }
    return retried(lambda: connection.execute(_SQL["mend_hashes"], values).rowcount)


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
    return decoded(data, {**_KNOWN, **fields, "attributes": pa.string()})


def _altered(items: pa.Table) -> Iterator[Altered]:
    hashed = _hashed(items, [_canonical(text) for text in items["attributes"].to_pylist()])
    wrong = pc.or_(
        pc.not_equal(hashed["content"], hashed["was_content"]), pc.not_equal(hashed["embed"], hashed["was_embed"])
    )
    suspects = items.filter(wrong)
    for at in range(suspects.num_rows):
        row = suspects.slice(at, 1)
        if (found := _judged(row)) is not None:
            yield found


def _judged(row: pa.Table) -> Altered | None:
    """What is altered in one row; None where a spelling of its numbers is what the hash was made of."""
    for text in _spellings(row["attributes"][0].as_py()):
        hashed = _hashed(row, [text]).to_pylist()[0]
        if (hashed["content"], hashed["embed"]) == (hashed["was_content"], hashed["was_embed"]):
            return None
    known = row.to_pylist()[0]
    hashed = _hashed(row, [_canonical(known["attributes"])]).to_pylist()[0]
    names = ("item_id", "external_id", "branch", "version")
    return Altered(
        **{name: known[name] for name in names},
        content_hash=hashed["content"],
        embed_hash=hashed["embed"],
        embedded=hashed["embed"] != hashed["was_embed"],
    )


def _hashed(items: pa.Table, attributes: list[str]) -> pa.Table:
    at = items.schema.get_field_index("attributes")
    content, embed = hashes(items.set_column(at, "attributes", pa.array(attributes, pa.string())))
    bare = {name: pc.replace_substring(items[name], "-", "") for name in ("content_hash", "embed_hash")}
    return pa.table(
        {"content": content, "embed": embed, "was_content": bare["content_hash"], "was_embed": bare["embed_hash"]}
    )


def _canonical(text: str) -> str:
    """What jsonb gives back, as normalization wrote it: keys sorted, no spaces, floats as Python has them."""
    return text if text == "{}" else to_json(json.loads(text))


def _spellings(text: str) -> Iterator[str]:
    """The same attributes, each long number taken for an integer and for a float."""
    count = min(len(_LONG.findall(text)), _TRIED)
    for kinds in product((int, float), repeat=count):
        left = list(kinds)

        def read(number: str, left: list[Any] = left) -> int | float:
            return left.pop(0)(number) if _LONG.fullmatch(number) and left else int(number)

        yield to_json(json.loads(text, parse_int=read))
