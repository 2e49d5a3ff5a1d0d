"""Requests derived and read back."""

from typing import Any

from ingest_project.embeddings.ledger import Derived, derive_requests
from ingest_project_tests.upsert.making import Line, Row, Source


def derived(line: Line, rows: list[Row], size: int | None = None) -> Derived:
    """Upsert rows and derive their requests."""
    return derive_requests(line.apply(rows, size)[0])


def requests(source: Source, state: str = "active") -> dict[str, dict[str, Any]]:
    """The requests for models in a state, by key, and whether they ask for what the item says now."""
    found = source.rows(
        f"""select i.external_id, r.*, r.status::text as status, r.content_hash = i.embed_hash as current
              from core.embedding_requests r join core.items i using (item_id)
              join ingest.sources s using (source_id) join core.embedding_models m using (model_id)
             where s.name = %(source)s and m.state = '{state}'"""
    )
    keyed = {row["external_id"]: row for row in found}
    assert len(keyed) == len(found)
    return keyed
