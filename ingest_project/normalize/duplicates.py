"""Finds the rows that lose to a newer row with the same key: once, over all parts of an activation, out of core."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

# Of ten million keys 192 MB took as much CPU time as 512 MB, and 128 MB a third more.
_MEMORY = "192MB"
# Orders rows with the same key: by source time, nulls lowest, then by part and row number. Rows of a replay have the
# row numbers of several activations, each in parts of its own: so the part comes before the row.
NEWNESS = """
create macro newness("time", part, "row") as row(coalesce("time", '-infinity'::timestamptz), part, "row")
"""
# Files are identified by their place in the list, not by their names.
_LOSERS = """
with keys as (
  select external_id, source_updated_at, "row", list_position($paths, filename) as place
    from read_parquet($paths, filename = true)
   where len($excluded) = 0 or not list_contains($excluded, list_position($paths, filename) || ':' || "row")
), ranked as (
  select *, first_value("row") over newest as winner, first_value(place) over newest as winners_place
    from keys where external_id in (select external_id from keys group by external_id having count(*) > 1)
  window newest as (partition by external_id order by newness(source_updated_at, place, "row") desc)
)
select place, "row", external_id, winner from ranked
 where "row" <> winner or place <> winners_place order by place, "row"
"""


@dataclass(frozen=True)
class KeyFile:
    """A normalized part as a local Parquet file."""

    part: int
    path: str


@dataclass(frozen=True)
class Loser:
    """A row that becomes a reject because of another row with its key.

    `winner_row` is that row; of `key_superseded`, the activation that has it.
    """

    part: int
    row: int
    external_id: str
    winner_row: int
    code: str = "duplicate_key"

    @property
    def message(self) -> str:
        """The reason, for people."""
        if self.code == "key_superseded":
            return f"activation {self.winner_row} has carried the key since"
        return f"row {self.winner_row} has the same key and is newer"


@contextmanager
def spilling_database(scratch: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """A DuckDB database in memory that spills to the folder `scratch` beyond 192 MB."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": 2,
        "temp_directory": str(scratch),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        yield connection


def duplicate_losers(files: Sequence[KeyFile], scratch: Path, excluded: Sequence[Loser] = ()) -> Iterator[Loser]:
    """The losers among the rows that are not `excluded`, ordered by part and row."""
    if not files:
        return
    places = {file.part: place for place, file in enumerate(files, start=1)}
    excluded_rows = [f"{places[loser.part]}:{loser.row}" for loser in excluded]
    with spilling_database(scratch) as connection:
        connection.execute(NEWNESS)
        result = connection.execute(_LOSERS, {"paths": [file.path for file in files], "excluded": excluded_rows})
        while rows := result.fetchmany(10_000):
            for place, row, key, winner in rows:
                yield Loser(files[place - 1].part, row, key, winner)
