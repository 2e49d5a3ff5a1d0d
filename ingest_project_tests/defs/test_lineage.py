"""Columns are explained, and traced to where they come from."""

import dagster as dg
import pytest

from ingest_project.defs.lineage import (
    core_table_schema,
    lineage_of_core,
    lineage_of_normalized,
    request_table_schema,
    source_table_schema,
    vector_table_schema,
)
from ingest_project.defs.metadata import item_table_schema
from ingest_project.item import item_schema
from ingest_project.postgres.connection import Connection
from ingest_project_tests.branches.conftest import spec

SOURCE = ["id", "title", "changed", "town", "colour"]


def upstream(lineage: object) -> dict[str, list[str]]:
    deps = lineage.deps_by_column  # type: ignore[attr-defined]
    return {name: [dep.column_name for dep in found] for name, found in deps.items()}


def test_each_column_of_an_item_comes_from_what_the_branch_file_maps() -> None:
    mapped = spec(updated_at="changed", mapping={"name": "title", "locality": "town", "status": {"constant": "open"}})
    assert upstream(lineage_of_normalized(SOURCE, mapped)) == {
        "external_id": ["id"],
        "source_updated_at": ["changed"],
        "name": ["title"],
        "locality": ["town"],
        "attributes": ["colour"],
    }
    assert "attributes" not in upstream(lineage_of_normalized(SOURCE, spec(unmapped="drop")))


def test_columns_of_the_source_say_what_becomes_of_them() -> None:
    found = {column.name: column.description for column in source_table_schema(SOURCE, spec()).columns}
    assert found == {
        "id": "→ external_id",
        "title": "→ name",
        **dict.fromkeys(["changed", "town", "colour"], "kept in attributes"),
    }
    dropped = source_table_schema(["colour"], spec(unmapped="drop")).columns
    assert [column.description for column in dropped] == ["dropped"]


def test_core_items_come_from_the_normalized_ones_column_by_column() -> None:
    assert upstream(lineage_of_core()) == {name: [name] for name in item_schema().names if name != "row"}


def test_no_column_is_without_words() -> None:
    for schema in (item_table_schema(), request_table_schema(), core_table_schema(), vector_table_schema()):
        assert [column.name for column in schema.columns if not column.description] == []


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("embedding_requests", request_table_schema()),
        ("items", core_table_schema()),
        ("item_embeddings", vector_table_schema()),
    ],
)
def test_what_is_said_of_a_table_is_what_is_in_postgres(
    connection: Connection, table: str, schema: dg.TableSchema
) -> None:
    found = connection.execute(
        """select attname, format_type(atttypid, case when atttypid = 'numeric'::regtype then atttypmod end)
             from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped""",
        (f"core.{table}",),
    ).fetchall()
    if not found:
        pytest.skip("this server has no pgvector")
    names = {"integer": "int", "timestamp with time zone": "timestamptz"}
    assert {name: names.get(kind, kind) for name, kind in found} == {
        column.name: column.type for column in schema.columns
    }
