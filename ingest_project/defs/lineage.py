"""Columns: what they mean, and which column of the asset before each of them comes from."""

from collections.abc import Iterable, Mapping

import dagster as dg

from ingest_project.branches.spec import BranchSpec
from ingest_project.defs.metadata import item_table_schema
from ingest_project.item import item_schema
from ingest_project.upsert.item_statements import TYPES

ONLY_OF_PARTS = {"row"}
Lineage = dg.TableColumnLineage
# Of core.embedding_requests.
REQUEST_COLUMNS = {
    "model_id": ("int", "The model that is to embed the item."),
    "item_id": ("bigint", "The item in core.items."),
    "branch_id": ("int", "The branch whose activation asked last."),
    "content_hash": ("uuid", "Of the text that is wanted: embed_hash of the item as it is."),
    "status": ('"char"', "p pending, l leased, d done, x dead: given up."),
    "attempts": ("smallint", "How often it has been tried and failed."),
    "rate_deferrals": ("smallint", "How often the provider asked to wait; no attempt."),
    "error_class": ("text", "The kind of the last failure."),
    "error": ("text", "The words of the last failure."),
    "next_attempt_at": ("timestamptz", "Not tried before."),
    "lease_id": ("uuid", "Who has claimed it."),
    "leased_until": ("timestamptz", "When the claim ends."),
    "run_id": ("text", "The run that asked last."),
    "requested_at": ("timestamptz", "When it was first wanted."),
    "updated_at": ("timestamptz", "When anything about it changed last."),
    "completed_at": ("timestamptz", "When its vector was stored."),
}


# Of core.items, beside what a normalized row says.
ITEM_COLUMNS = {
    "item_id": ("bigint", "The item for good: it outlives versions, deletion and revival."),
    "source_id": ("int", "Whose key external_id is; the name is in core.items_with_provenance."),
    "priority": ("int", "Of the branch that wrote it: decides between versions of one time."),
    "branch_id": ("int", "The branch whose version this is."),
    "activation_id": ("bigint", "Wrote what the row says now."),
    "created_activation_id": ("bigint", "Wrote it first."),
    "part": ("int", "The part of that activation, and so the batch and the run."),
    "first_seen_at": ("timestamptz", "When it was inserted."),
    "updated_at": ("timestamptz", "When its content changed last."),
    "version": ("int", "Counts its contents; the old ones are in core.item_versions."),
    "deleted_at": ("timestamptz", "When it was marked as deleted; null: it is live."),
}
# Of core.item_embeddings.
VECTOR_COLUMNS = {
    "model_id": ("int", "The model that made it; a partition each."),
    "item_id": ("bigint", "The item in core.items."),
    "content_hash": ("uuid", "Of the text that was embedded; embed_hash of the item where it is still what it says."),
    "embedding": ("vector", "As long as the model has dimensions; cast it to vector(N) to use the index."),
    "embedded_at": ("timestamptz", "When it was stored."),
}


def _schema(columns: Mapping[str, tuple[str, str]]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(name=name, type=kind, description=words) for name, (kind, words) in columns.items()]
    )


def request_table_schema() -> dg.TableSchema:
    """The columns of core.embedding_requests."""
    return _schema(REQUEST_COLUMNS)


def vector_table_schema() -> dg.TableSchema:
    """The columns of core.item_embeddings."""
    return _schema(VECTOR_COLUMNS)


def core_table_schema() -> dg.TableSchema:
    """The columns of core.items: what normalized rows say, in the types of Postgres, and where it comes from."""
    said = [column for column in item_table_schema().columns if column.name not in ONLY_OF_PARTS]
    typed = {column.name: (TYPES.get(column.name, column.type), column.description or "") for column in said}
    return _schema(typed | ITEM_COLUMNS)


def source_table_schema(names: Iterable[str], spec: BranchSpec) -> dg.TableSchema:
    """The columns of a source, as they come, and what becomes of each."""
    becomes: dict[str, list[str]] = {}
    for field, column in _origins(spec):
        becomes.setdefault(column, []).append(field)
    rest = "kept in attributes" if spec.unmapped == "keep" else "dropped"
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, description=f"→ {', '.join(becomes[name])}" if name in becomes else rest)
            for name in names
        ]
    )


def _origins(spec: BranchSpec) -> Iterable[tuple[str, str]]:
    yield "external_id", spec.key
    if spec.updated_at:
        yield "source_updated_at", spec.updated_at
    for field, mapped in spec.mapping.items():
        if mapped.column:
            yield field, mapped.column


def lineage_of_normalized(names: Iterable[str], spec: BranchSpec) -> Lineage:
    """From the columns of the source, as the branch file maps them; what is not mapped goes to attributes."""
    found: dict[str, list[str]] = {}
    for field, column in _origins(spec):
        found.setdefault(field, []).append(column)
    declared = set(spec.declared_columns())
    if spec.unmapped == "keep":
        found["attributes"] = [name for name in names if name not in declared]
    return _lineage("branch_snapshot", found)


def lineage_of_core() -> Lineage:
    """Each column from the normalized one of the same name."""
    return _lineage("normalized_items", {name: [name] for name in item_schema().names if name not in ONLY_OF_PARTS})


def _lineage(upstream: str, found: dict[str, list[str]]) -> Lineage:
    return Lineage(
        deps_by_column={
            name: [dg.TableColumnDep(asset_key=upstream, column_name=column) for column in columns]
            for name, columns in found.items()
            if columns
        }
    )
