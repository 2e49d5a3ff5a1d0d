"""One fact, one place: what the database, Arrow and the documents say of an item comes from its declaration."""

import re
from pathlib import Path

import pytest
from psycopg import sql

from ingest_project.branches import activations
from ingest_project.branches.spec import BranchSpec
from ingest_project.item import KEY, Item, columns, embeddable_fields, item_schema
from ingest_project.postgres.connection import Connection
from ingest_project.settings import Settings
from ingest_project.upsert.item_statements import CONTENT
from ingest_project_tests.house.test_architecture import REPOSITORY

README = REPOSITORY / "README.md"
BRANCH_FILES, OPERATION = (REPOSITORY / ".docs" / name for name in ("branch-files.md", "operation.md"))
PAGES = [README, *sorted((REPOSITORY / ".docs").glob("*.md"))]
OURS = {
    *("item_id", "source_id", "attributes", "issues", "content_hash", "embed_hash", "source_updated_at", "priority"),
    *("branch_id", "activation_id", "created_activation_id", "part", "first_seen_at", "updated_at", "version"),
    "deleted_at",
}
KINDS = (
    "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = {}::regclass and attnum > 0"
)


def columns_of(connection: Connection, table: str) -> dict[str, str]:
    return dict(connection.execute(sql.SQL(KINDS).format(sql.Literal(table))).fetchall())


def test_core_items_has_the_columns_of_the_declaration(connection: Connection) -> None:
    found = columns_of(connection, "core.items")
    assert {name: found[name] for name in columns()} == {name: column.sql for name, column in columns().items()}
    assert set(found) - set(columns()) == OURS


def test_an_activation_has_a_field_for_each_column_of_its_table(connection: Connection) -> None:
    assert set(activations.Activation.__dataclass_fields__) == set(columns_of(connection, "ingest.activations"))


def test_the_first_model_embeds_fields_that_can_be(connection: Connection) -> None:
    row = connection.execute("select template from core.embedding_models where state = 'active'").fetchone()
    assert row is not None
    assert tuple(row[0]) == embeddable_fields()


def test_parts_have_every_field_once() -> None:
    assert item_schema().names[: len(columns())] == list(columns())
    assert next(iter(columns())) == KEY


def test_what_is_written_is_what_is_declared() -> None:
    assert set(CONTENT) == (set(columns()) - {KEY}) | {"attributes", "issues", "content_hash", "embed_hash"}


@pytest.mark.parametrize("field", [name for name, field in Item.model_fields.items() if field.annotation is not str])
def test_lengths_in_postgres_are_those_of_the_model(connection: Connection, field: str) -> None:
    longest = next((mark.max_length for mark in Item.model_fields[field].metadata if hasattr(mark, "max_length")), None)
    checks = connection.execute(
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'core.items'::regclass and contype = 'c'"
    ).fetchall()
    for (text,) in checks:
        limit = re.search(rf"length\({field}\) <= ([0-9]+)", text)
        assert limit is None or int(limit[1]) == longest


def section(page: Path, heading: str) -> str:
    return page.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_documents_name_every_field_of_an_item() -> None:
    fields = section(BRANCH_FILES, "Item fields")
    assert [name for name in Item.model_fields if f"`{name}`" not in fields] == []


def test_the_documents_name_every_setting_of_a_branch_and_no_other() -> None:
    table = section(BRANCH_FILES, "Settings of a branch")
    first_cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(first_cells))) == sorted(BranchSpec.model_fields)


def test_the_documents_name_every_setting_with_its_default() -> None:
    table = section(OPERATION, "Settings")
    rows = dict(re.findall(r"^\| `(INGEST_\w+)` \| (.*?) \|", table, re.MULTILINE))
    assert set(rows) == {f"INGEST_{name.upper()}" for name in Settings.model_fields}
    numbers = {name: field.default for name, field in Settings.model_fields.items() if isinstance(field.default, int)}
    assert {name: rows[f"INGEST_{name.upper()}"] for name in numbers} == {
        name: str(value) for name, value in numbers.items()
    }


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {heading.lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8"))
    for name, _, anchor in (link.partition("#") for link in links):
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), anchor


def test_the_readme_leads_to_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(.docs/{page.name}" not in text] == []
