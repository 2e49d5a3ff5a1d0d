"""Columns: what they mean, and which column of the asset before each of them comes from."""

from collections.abc import Iterable

import dagster as dg

from ingest_project.branches.spec import BranchSpec
from ingest_project.item import item_schema

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


def request_table_schema() -> dg.TableSchema:
    """The columns of core.embedding_requests."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=kind, description=words) for name, (kind, words) in REQUEST_COLUMNS.items()
        ]
    )


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
    return _lineage("normalized_items", {name: [name] for name in item_schema().names})


def _lineage(upstream: str, found: dict[str, list[str]]) -> Lineage:
    return Lineage(
        deps_by_column={
            name: [dg.TableColumnDep(asset_key=upstream, column_name=column) for column in columns]
            for name, columns in found.items()
            if columns
        }
    )
