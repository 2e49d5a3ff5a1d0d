"""Of rows with one key, the newest: decided once, over all parts, out of core."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

# Of ten million keys 256 MB took as much CPU time as twice that, and 128 MB a third more.
_MEMORY = "256MB"
# Which of two rows with one key is newer: by source time, nulls lowest, then by place. Rows of a replay have numbers
# of several activations, so that the part counts before the row.
NEWNESS = """
create macro newness("time", part, "row") as row(coalesce("time", '-infinity'::timestamptz), part, "row")
"""
# The digits of a part's file name are not trusted: each file is numbered by its place in the list.
_LOSERS = """
with keys as (
  select external_id, source_updated_at, "row", list_position($paths, filename) as place
    from read_parquet($paths, filename = true)
   where len($gone) = 0 or not list_contains($gone, list_position($paths, filename) || ':' || "row")
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
    """A row that gives way to a newer one with its key."""

    part: int
    row: int
    external_id: str
    winner_row: int
    code: str = "duplicate_key"

    @property
    def words(self) -> str:
        """Why, for a person."""
        if self.code == "key_superseded":
            return f"activation {self.winner_row} has carried the key since"
        return f"row {self.winner_row} has the same key and is newer"


@contextmanager
def out_of_core(scratch: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """A database in memory that spills to `scratch` beyond 256 MB."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": 2,
        "temp_directory": str(scratch),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        yield connection


def duplicate_losers(files: Sequence[KeyFile], scratch: Path, gone: Sequence[Loser] = ()) -> Iterator[Loser]:
    """Losers by part and row, without what is `gone` already. DuckDB spills to `scratch` beyond 256 MB."""
    if not files:
        return
    places = {file.part: place for place, file in enumerate(files, start=1)}
    named = [f"{places[loser.part]}:{loser.row}" for loser in gone]
    with out_of_core(scratch) as connection:
        connection.execute(NEWNESS)
        found = connection.execute(_LOSERS, {"paths": [file.path for file in files], "gone": named})
        while rows := found.fetchmany(10_000):
            for place, row, key, winner in rows:
                yield Loser(files[place - 1].part, row, key, winner)
