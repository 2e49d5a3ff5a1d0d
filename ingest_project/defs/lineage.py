"""What the columns of each asset mean, and from which columns of the asset before they come."""

from collections.abc import Iterable, Mapping

import dagster as dg

from ingest_project.branches.spec import BranchSpec
from ingest_project.defs.metadata import item_table_schema
from ingest_project.item import item_schema
from ingest_project.upsert.item_statements import TYPES

PART_COLUMNS = {"row"}  # of normalized parts, and not of core.items
Lineage = dg.TableColumnLineage
# Columns of core.embedding_requests: their type and what they mean.
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


# Columns of core.items that a normalized row does not have.
ITEM_COLUMNS = {
    "item_id": ("bigint", "The item for good: it outlives versions, deletion and revival."),
    "source_id": ("int", "Whose key external_id is; the name is in core.items_with_provenance."),
    "priority": ("int", "Of the branch that wrote it: decides between versions of equal time."),
    "branch_id": ("int", "The branch whose version this is."),
    "activation_id": ("bigint", "Wrote what the row says now."),
    "created_activation_id": ("bigint", "Wrote it first."),
    "part": ("int", "The part of that activation, and so the batch and the run."),
    "first_seen_at": ("timestamptz", "When it was inserted."),
    "updated_at": ("timestamptz", "When its content changed last."),
    "version": ("int", "Counts its contents; the old ones are in core.item_versions."),
    "deleted_at": ("timestamptz", "When it was marked as deleted; null: it is live."),
}
# Columns of core.item_embeddings.
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
    """The columns of core.items: those of normalized rows, in the types of Postgres, and those of Postgres alone."""
    normalized = [column for column in item_table_schema().columns if column.name not in PART_COLUMNS]
    shared = {column.name: (TYPES.get(column.name, column.type), column.description or "") for column in normalized}
    return _schema(shared | ITEM_COLUMNS)


def source_table_schema(names: Iterable[str], spec: BranchSpec) -> dg.TableSchema:
    """The columns of a source, in their order, and what becomes of each."""
    fields: dict[str, list[str]] = {}
    for field, column in _mapped_columns(spec):
        fields.setdefault(column, []).append(field)
    rest = "kept in attributes" if spec.unmapped == "keep" else "dropped"
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, description=f"→ {', '.join(fields[name])}" if name in fields else rest)
            for name in names
        ]
    )


def _mapped_columns(spec: BranchSpec) -> Iterable[tuple[str, str]]:
    """Each item field with the column of the source that it comes from."""
    yield "external_id", spec.key
    if spec.updated_at:
        yield "source_updated_at", spec.updated_at
    for field, mapped in spec.mapping.items():
        if mapped.column:
            yield field, mapped.column


def lineage_of_normalized(names: Iterable[str], spec: BranchSpec) -> Lineage:
    """Each column with the source columns that the branch file maps to it; those not mapped go to attributes."""
    origins: dict[str, list[str]] = {}
    for field, column in _mapped_columns(spec):
        origins.setdefault(field, []).append(column)
    declared = set(spec.declared_columns())
    if spec.unmapped == "keep":
        origins["attributes"] = [name for name in names if name not in declared]
    return _lineage("branch_snapshot", origins)


def lineage_of_core() -> Lineage:
    """Each column comes from the normalized column of the same name."""
    return _lineage("normalized_items", {name: [name] for name in item_schema().names if name not in PART_COLUMNS})


def _lineage(upstream: str, origins: Mapping[str, list[str]]) -> Lineage:
    return Lineage(
        deps_by_column={
            name: [dg.TableColumnDep(asset_key=upstream, column_name=column) for column in columns]
            for name, columns in origins.items()
            if columns
        }
    )
