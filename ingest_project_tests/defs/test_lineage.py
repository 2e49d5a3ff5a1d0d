"""Columns are explained, and traced to where they come from."""

from ingest_project.defs.lineage import (
    REQUEST_COLUMNS,
    lineage_of_core,
    lineage_of_normalized,
    request_table_schema,
    source_table_schema,
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
    assert upstream(lineage_of_core()) == {name: [name] for name in item_schema().names}


def test_no_column_is_without_words() -> None:
    for schema in (item_table_schema(), request_table_schema()):
        assert [column.name for column in schema.columns if not column.description] == []


def test_what_is_said_of_requests_is_what_is_in_postgres(connection: Connection) -> None:
    found = connection.execute(
        """select attname, format_type(atttypid, null) from pg_attribute
            where attrelid = 'core.embedding_requests'::regclass and attnum > 0 and not attisdropped"""
    ).fetchall()
    names = {"integer": "int", "timestamp with time zone": "timestamptz"}
    assert {name: names.get(kind, kind) for name, kind in found} == {
        name: kind for name, (kind, _) in REQUEST_COLUMNS.items()
    }
