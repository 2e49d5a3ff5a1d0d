"""What the tables say, by natural keys: ids, times, runs, epochs and attempts aside."""

from typing import Any

from psycopg.rows import dict_row

from ingest_project.item import columns
from ingest_project.postgres.connection import Connection

ITEMS = """
select s.name as source, i.external_id, b.name as branch, i.priority, i.version, i.part, i.source_updated_at,
       i.deleted_at is null as live, i.content_hash, i.embed_hash, i.attributes, i.issues, a.nth as activation, {item}
  from core.items i join ingest.sources s using (source_id) join ingest.branches b using (branch_id)
  join (select activation_id, rank() over (partition by branch_id order by activation_id) as nth
          from ingest.activations) a using (activation_id)
 order by s.name, i.external_id"""
VERSIONS = """
select a.nth as activation, i.external_id, v.version, v.op::text, v.old ->> 'name' as old_name,
       v.old ->> 'content_hash' as old_hash
  from core.item_versions v join core.items i using (item_id)
  join (select activation_id, rank() over (partition by branch_id order by activation_id) as nth
          from ingest.activations) a on a.activation_id = v.written_by_activation
 order by 1, 2, 3"""
REJECTS = """
select a.nth as activation, r.part, r.row, r.external_id, r.errors, r.raw
  from ingest.rejects r
  join (select activation_id, rank() over (partition by branch_id order by activation_id) as nth
          from ingest.activations) a using (activation_id)
 order by 1, 2, 3"""
BATCHES = """
select a.nth as activation, b.part, b.valid, b.inserted, b.updated, b.touched, b.unchanged, b.stale
  from ingest.batches b
  join (select activation_id, rank() over (partition by branch_id order by activation_id) as nth
          from ingest.activations) a using (activation_id)
 order by 1, 2"""
REQUESTS = """
select m.provider, m.model, i.external_id, r.status::text, r.content_hash
  from core.embedding_requests r join core.items i using (item_id) join core.embedding_models m using (model_id)
 order by 1, 2, 3"""
ACTIVATIONS = """
select b.name, a.kind, a.state, a.rows_read, a.carried, a.rejected, a.valid, a.inserted, a.updated, a.touched,
       a.unchanged, a.stale, a.missing, a.tombstoned, t.nth as undoes
  from ingest.activations a join ingest.branches b using (branch_id)
  left join (select activation_id, rank() over (partition by branch_id order by activation_id) as nth
               from ingest.activations) t on t.activation_id = a.undoes
 order by a.activation_id"""


def rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    """All rows of a query as dicts."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def items(connection: Connection) -> dict[str, dict[str, Any]]:
    """core.items by external id."""
    query = ITEMS.replace("{item}", ", ".join(f"i.{name}" for name in columns() if name != "external_id"))
    return {row["external_id"]: row for row in rows(connection, query)}


def state(connection: Connection) -> dict[str, Any]:
    """Everything that a killed and resumed ingest must have in common with an undisturbed one."""
    return {
        "items": items(connection),
        "versions": rows(connection, VERSIONS),
        "rejects": rows(connection, REJECTS),
        "batches": rows(connection, BATCHES),
        "requests": rows(connection, REQUESTS),
        "activations": rows(connection, ACTIVATIONS),
    }
