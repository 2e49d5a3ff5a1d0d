"""Changes of items as people read them: fields with their old and new values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from ingest_project.branches.work import Work
from ingest_project.item import content_fields
from ingest_project.postgres.connection import Connection
from ingest_project.upsert.item_statements import statement

Row = Mapping[str, Any]


def differences(changed: Iterable[tuple[str, Row, Row]]) -> list[dict[str, Any]]:
    """{external_id, field, old, new} of each field that differs in (key, old row, new row); attributes one by one."""
    return [
        {"external_id": key, "field": name, "old": before.get(name), "new": after.get(name)}
        for key, old, new in changed
        for before, after in [(_flattened(old), _flattened(new))]
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _flattened(row: Row) -> dict[str, Any]:
    attributes: Row = row.get("attributes") or {}
    fields = {name: row.get(name) for name in (*content_fields(), "source_updated_at")}
    return {**fields, **{f"attributes.{key}": value for key, value in attributes.items()}}


def sample_updated(work: Work, count: int = 8) -> list[dict[str, Any]]:
    """Differences of some rows that this activation updated."""
    values = {"activation_id": work.activation.activation_id, "count": count}
    return differences(work.connection.execute(statement("sample_updated"), values).fetchall())


def sample_inserted(work: Work, count: int = 8) -> list[dict[str, Any]]:
    """Some rows that this activation inserted, with the fields that at least one of them has."""
    values = {"activation_id": work.activation.activation_id, "count": count}
    rows = [row for (row,) in work.connection.execute(statement("sample_inserted"), values).fetchall()]
    names = [name for name in ("external_id", *content_fields()) if any(row.get(name) is not None for row in rows)]
    return [{name: row.get(name) for name in names} for row in rows]


def sample_changed_places(work: Work, count: int = 2000) -> list[tuple[str, float, float]]:
    """(op, latitude, longitude) of a random sample of the items that this activation changed."""
    values = {"activation_id": work.activation.activation_id, "count": count}
    return work.connection.execute(statement("sample_changed_places"), values).fetchall()  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Change:
    """What one activation did to an item, and the fields in which it differs from the version before."""

    version: int
    op: str
    written_at: datetime
    activation: int
    branch: str
    undoes: int | None
    differences: list[dict[str, Any]]


def history_of(connection: Connection, source_id: int, external_id: str) -> list[Change]:
    """All changes of an item, oldest first; empty where there is no such item."""
    values: dict[str, Any] = {"source_id": source_id, "external_id": external_id}
    item = connection.execute(statement("find_item"), values).fetchone()
    if item is None:
        return []
    item_id, current = item
    rows = connection.execute(statement("changes_of_item"), {**values, "item_id": item_id}).fetchall()
    # The row after a change is the old row of the next change, or for the last one the item as it is.
    images: list[Row] = [*(old or {} for *_, old in rows), current]
    return [
        Change(version, op, written_at, activation, branch, undoes, differences([(external_id, before, after)]))
        for (version, op, written_at, activation, branch, undoes, _), (before, after) in zip(
            rows, pairwise(images), strict=True
        )
    ]
