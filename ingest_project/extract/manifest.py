"""The manifest: which parts exist. One that is not listed does not, even if the store has its file."""

from dataclasses import dataclass
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest_project.branches.work import Work
from ingest_project.extract.store import StoredPart
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "manifest.sql")
Asset = Literal["branch_snapshot", "normalized_items"]


@dataclass(frozen=True)
class ListedPart:
    """A row of the manifest; `cursor` is where the source goes on after it."""

    part: int
    path: str
    rows: int
    bytes: int
    digest: str
    cursor: dict[str, Any] | None
    carried: int = 0


def part_key(work: Work, asset: Asset, part: int) -> str:
    """Where a part is stored: ids only, so a branch's name never becomes a path; the epoch keeps writers apart."""
    return f"{work.branch.branch_id}/{work.activation.activation_id}/{asset}/{part:06d}.e{work.lease.epoch}"


def list_part(
    connection: Connection,
    work: Work,
    asset: Asset,
    part: int,
    stored: StoredPart,
    cursor: dict[str, Any] | None,
    *,
    carried: int = 0,
) -> None:
    """Make a stored part exist, in the caller's fenced transaction. `carried`: its rows not normalized anew."""
    connection.execute(
        _SQL["list_part"],
        {
            "activation_id": work.activation.activation_id,
            "asset": asset,
            "part": part,
            "epoch": work.lease.epoch,
            "path": stored.path,
            "rows": stored.rows,
            "bytes": stored.bytes,
            "digest": stored.digest,
            "cursor": Jsonb(cursor) if cursor is not None else None,
            "run_id": work.lease.run_id,
            "carried": carried,
        },
    )


def listed_parts(connection: Connection, activation_id: int, asset: Asset) -> list[ListedPart]:
    """The parts of one asset of an activation, in order."""
    with connection.cursor(row_factory=class_row(ListedPart)) as cursor:
        values = {"activation_id": activation_id, "asset": asset}
        return cursor.execute(_SQL["listed_parts"], values).fetchall()


def discard_parts(connection: Connection, activation_id: int, asset: Asset) -> None:
    """Remove the parts of a reading that starts again, in the caller's fenced transaction."""
    connection.execute(_SQL["discard_parts"], {"activation_id": activation_id, "asset": asset})
