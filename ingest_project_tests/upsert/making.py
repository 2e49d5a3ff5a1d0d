"""Branches, activations and parts made in memory: what the upsert stage is handed, without a snapshot before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pyarrow as pa
from psycopg.rows import dict_row

from ingest_project.branches import activations, registry
from ingest_project.branches.spec import parse_spec
from ingest_project.branches.work import Work
from ingest_project.item import item_schema
from ingest_project.normalize.hashing import hashes
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection
from ingest_project.upsert.items import ApplyResult, apply_activation

Row = Mapping[str, Any]
_END_OPEN = """
update ingest.activations set state = case state when 'committed' then 'done' else 'superseded' end,
       done_at = case state when 'committed' then now() end, requests = case state when 'committed' then 0 end,
       closed_at = case state when 'committed' then null else now() end
 where branch_id = %(branch_id)s and state = any ('{requested,pinned,snapshotted,normalized,accepted,committed}')"""
START = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: int | None) -> datetime | None:
    """The source time `number` days after the start; None for none."""
    return None if number is None else START + timedelta(days=number)


def item(key: object, name: str | None = None, at: int | None = 0, **given: Any) -> Row:
    """A row; `at` is its day."""
    return {"external_id": str(key), "name": name or f"Item {key}", "source_updated_at": day(at), **given}


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows as a normalized part, hashes and all."""
    schema = item_schema()
    full = [{"attributes": "{}", "issues": "[]", "row": at, **row} for at, row in enumerate(rows, 1)]
    table = pa.Table.from_pylist(full, schema=schema)
    content, embed = hashes(table)
    for name, values in (("content_hash", content), ("embed_hash", embed)):
        table = table.set_column(schema.get_field_index(name), name, values)
    return table


@dataclass(frozen=True)
class Part:
    """A valid part that is held in memory."""

    number: int
    table: pa.Table

    @property
    def valid(self) -> int:
        return self.table.num_rows

    def load(self) -> pa.Table:
        return self.table

    def keys(self) -> pa.Table:
        return self.table.select(["external_id", "content_hash", "source_updated_at"])


def parts_of(rows: Sequence[Row], size: int | None = None) -> list[Part]:
    """Parts of `size` rows, all in one where none is given."""
    size = size or max(len(rows), 1)
    return [Part(at // size, table_of(rows[at : at + size])) for at in range(0, max(len(rows), 1), size)]


@dataclass(frozen=True)
class Line:
    """A registered branch of which this session holds the lease."""

    connection: Connection
    name: str

    def work(self, valid: int, state: str = "accepted") -> Work:
        """A new activation, brought to `state` by the steps that a run takes; an open one before it is ended."""
        connection = self.connection
        branch = registry.get_branch(connection, self.name)
        lease = leases.acquire(connection, branch.branch_id, self.name, holder="run", run_id="run")
        connection.execute(_END_OPEN, {"branch_id": branch.branch_id})
        made = activations.create(connection, branch.branch_id, holder="run", plan_only=False)
        made = activations.pin(connection, made, branch.spec, {"files": []})
        made = activations.end_snapshot(connection, made, {"files": []}, valid)
        counts = {"rows_read": valid, "rejected": 0, "valid": valid, "normalizer_version": "test"}
        made = activations.end_normalization(connection, made, **counts, blocked=None)
        values = {"state": state, "activation_id": made.activation_id}
        connection.execute(
            """update ingest.activations set state = %(state)s, closed_at = case when %(state)s = any
               ('{refused,failed,superseded}') then now() end where activation_id = %(activation_id)s""",
            values,
        )
        return Work(connection, lease, branch, activations.get(connection, branch.branch_id, made.activation_id))

    def apply(self, rows: Sequence[Row], size: int | None = None) -> tuple[Work, ApplyResult]:
        """Upsert rows as the next activation; it is committed, not done."""
        work = self.work(len(rows))
        applied = apply_activation(work, parts_of(rows, size))
        return work.on(applied.activation), applied

    def ingest(self, rows: Sequence[Row], size: int | None = None) -> ApplyResult:
        """Upsert rows and end the activation, without deriving requests."""
        work, applied = self.apply(rows, size)
        activations.finish(self.connection, work.activation, requests=0)
        return applied

    def on(self, connection: Connection) -> "Line":
        """The same branch, worked on from another session of this process."""
        return Line(connection, self.name)


@dataclass(frozen=True)
class Source:
    """A namespace of keys of one test's own, so that tests can share a database."""

    connection: Connection
    name: str = field(default_factory=lambda: f"source {uuid4().hex[:12]}")

    def line(self, priority: int = 0, **given: Any) -> Line:
        """Register a branch; keywords go into its spec."""
        name = f"{self.name}, branch {priority}"
        spec = {
            "name": name,
            "source": self.name,
            "location": "/nowhere.csv",
            "key": "id",
            "updated_at": "updated",
            "mapping": {"name": "name"},
            "priority": priority,
            **given,
        }
        registry.apply_branch(self.connection, parse_spec(spec, origin="test"))
        return Line(self.connection, name)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """All rows of a query that names our source `%(source)s`, as dicts."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, {"source": self.name}).fetchall()

    def items(self) -> dict[str, dict[str, Any]]:
        """Our rows of core.items, by key."""
        query = "select i.* from core.items i join ingest.sources s using (source_id) where s.name = %(source)s"
        return {row["external_id"]: row for row in self.rows(query)}

    def versions(self, key: object) -> list[dict[str, Any]]:
        """The history of one item, oldest first."""
        return [row for row in self.history() if row["external_id"] == str(key)]

    def history(self) -> list[dict[str, Any]]:
        """The history of all our items, by key and version."""
        return self.rows(
            """select i.external_id, v.written_by_activation, v.version, v.op::text, v.old
                 from core.item_versions v join core.items i using (item_id) join ingest.sources s using (source_id)
                where s.name = %(source)s order by i.external_id, v.version"""
        )

    def batches(self) -> list[dict[str, Any]]:
        """What was accounted for, by activation and part."""
        return self.rows(
            """select b.* from ingest.batches b join ingest.activations a using (activation_id)
                 join ingest.branches n using (branch_id) join ingest.sources s using (source_id)
                where s.name = %(source)s order by b.activation_id, b.part"""
        )

    def physical(self) -> dict[str, tuple[str, str]]:
        """Where each row lies and who wrote it: unchanged where nothing wrote it."""
        query = """select external_id, i.ctid::text, i.xmin::text from core.items i join ingest.sources s
                    using (source_id) where s.name = %(source)s"""
        return {row["external_id"]: (row["ctid"], row["xmin"]) for row in self.rows(query)}
