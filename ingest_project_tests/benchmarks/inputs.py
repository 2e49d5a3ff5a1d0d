"""What is loaded: the demo's rows, the same with changes, and for peers the valid rows as this project made them.

Peers normalize nothing, so they are given what came out of it: a table, CSV, Parquet and Singer messages.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from psycopg import sql

from ingest_project.postgres.connection import Connection
from ingest_project.sample import write_demo

NUMBERS = ("latitude", "longitude", "price")
TIME = "source_updated_at"
# All that the demo's rows say; columns that are empty in every row are left out.
COLUMNS = (
    *("external_id", "name", "category", "description", "status", "street", "house_number", "locality", "region_name"),
    *("region_code", "postal_code", "country_code", *NUMBERS[:2], "phone", "website_url", "price", "currency", TIME),
)
SCHEMA = "peer_source"
_ROWS = 50_000


def write_states(folder: Path, rows: int) -> dict[str, Path]:
    """The source's two states as CSV: as it is first, and with 1 % of its rows changed and 0.5 % new ones."""
    first, changed = folder / f"{rows}.csv", folder / f"{rows}-changed.csv"
    longer = folder / f"{rows}-longer.csv"
    write_demo(first, rows)
    write_demo(longer, rows + rows // 200)
    with longer.open(encoding="utf-8", newline="") as given, changed.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(_changed(csv.reader(given), rows))
    longer.unlink()
    return {"first": first, "changed": changed}


def _changed(lines: Iterator[list[str]], rows: int) -> Iterator[list[str]]:
    header = next(lines)
    yield header
    title, updated = header.index("title"), header.index("updated")
    for at, line in enumerate(lines):
        if at < rows and at % 100 == 50 and len(line) == len(header):
            line[title], line[updated] = f"{line[title]}, renamed", "2026-01-01T00:00:00Z"
        yield line


@dataclass(frozen=True)
class State:
    """The valid rows of one state, in the forms that peers read."""

    table: str
    rows: int
    csv: Path
    parquet: Path
    singer: Path


def state_of_items(connection: Connection, folder: Path, name: str) -> State:
    """Keep what core.items says now under a name."""
    return _kept(connection, folder, name, sql.Identifier("core", "items"), None)


def first_rows(connection: Connection, folder: Path, state: State, limit: int) -> State:
    """The first rows of a state by key; of the changed one a few more, which are new."""
    name = state.table.partition(".")[2]
    more = limit // 200 if name.startswith("changed") else 0
    return _kept(connection, folder, f"{name}_few", sql.Identifier(SCHEMA, name), limit + more)


def _kept(connection: Connection, folder: Path, name: str, origin: sql.Identifier, limit: int | None) -> State:
    table = sql.Identifier(SCHEMA, name)
    connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
    connection.execute(sql.SQL("drop table if exists {}").format(table))
    # The demo's own places come first, as in its file: some peers guess types from the first rows.
    make = sql.SQL("create table {} as select {} from {} order by external_id like 'G%', external_id limit {}")
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    rows = connection.execute(make.format(table, columns, origin, limit)).rowcount
    state = State(f"{SCHEMA}.{name}", rows, *(folder / f"{name}.{kind}" for kind in ("csv", "parquet", "singer")))
    _save(connection, sql.SQL("copy {} to stdout (format csv, header)").format(table), state.csv)
    messages = "select jsonb_build_object('type', 'RECORD', 'stream', 'items', 'record', to_jsonb(i))::text from {} i"
    text = sql.SQL("copy (" + messages + ") to stdout (format csv, quote e'\\x01', delimiter e'\\x02')").format(table)
    _save(connection, text, state.singer)
    _as_parquet(state)
    return state


def _save(connection: Connection, text: sql.Composed, path: Path) -> None:
    with path.open("wb") as out, connection.cursor() as cursor, cursor.copy(text) as copy:
        for block in copy:
            out.write(block)


def _as_parquet(state: State) -> None:
    kinds = dict.fromkeys(COLUMNS, pa.string()) | dict.fromkeys(NUMBERS, pa.float64())
    kinds[TIME] = pa.timestamp("us", tz="UTC")
    options = arrow_csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    with (
        arrow_csv.open_csv(state.csv, parse_options=parse, convert_options=options) as reader,
        pq.ParquetWriter(state.parquet, reader.schema, compression="zstd") as writer,
    ):
        for batch in reader:
            writer.write_batch(batch, row_group_size=_ROWS)
