"""Every named statement is understood by Postgres as it is, and every one is used."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest
from psycopg import sql

from ingest_project.branches import activations
from ingest_project.branches.registry import Branch
from ingest_project.branches.spec import BranchSpec
from ingest_project.embeddings.models import Model, ModelOptions
from ingest_project.embeddings.search import nearest_items
from ingest_project.embeddings.text import text_expression
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.upsert import item_statements, rollback, target
from ingest_project.upsert.target import Table, TableColumn, Target
from ingest_project_tests.house.test_architecture import PACKAGE, modules

_UNDO = """create temp table undo (item_id bigint, op text, old jsonb, external_id text collate "C", version int,
                                  now jsonb, done bool)"""
# PREPARE takes no COPY, DDL or maintenance; those run in the tests of their stages.
_PREPARED = re.compile(r"^\s*(select|insert|update|delete|with)\b")
_KIND = sql.SQL("case when i.item_id is null then 'i' when i.content_hash = p.content_hash then 'n' else 'u' end")

_ANY = Target(
    Table("any", ("id",), newer_by="at"),
    (TableColumn("id", "integer", False, True), TableColumn("at", "date", False, True)),
)
_BRANCH = Branch(1, "any", 1, BranchSpec.model_construct(), "", 0, "active")
_MODEL = Model(
    *(1, "builtin", "m", "1", 384, ("name",), 1, "active", ModelOptions(), "builtin", datetime.now(UTC), None, None)
)


def files() -> list[tuple[str, str]]:
    """(package, file name) of every file of named statements."""
    found = [path for path in sorted(PACKAGE.rglob("*.sql")) if path.parent.name != "versions"]
    return [(".".join(path.relative_to(PACKAGE.parent).parent.parts), path.name) for path in found]


def raw(package: str, name: str) -> Mapping[str, sql.SQL]:
    return statements.load(f"{package}.x", name)


def complete(name: str, text: sql.SQL) -> sql.Composable:
    """The statement with its identifiers in place, as the module that runs it has it."""
    if name in activations._SQL:  # pyright: ignore[reportPrivateUsage]
        return activations._SQL[name]  # pyright: ignore[reportPrivateUsage]
    if name in rollback._RAW:  # pyright: ignore[reportPrivateUsage]
        return rollback.statement(name)
    if name in target._SQL and "{" in text.as_string():  # pyright: ignore[reportPrivateUsage]
        return _ANY.history(name, Table("kept", ())) if "{history}" in text.as_string() else _ANY.statement(name)
    return _of_items(name, text)


def _of_items(name: str, text: sql.SQL) -> sql.Composable:
    if name in ("classify_probe", "classify_stage"):
        return item_statements.classify_statement(name, _KIND, _BRANCH)
    if name == "nearest_items":
        return nearest_items(_MODEL)
    if name == "count_column_changes":
        return item_statements.column_changes_statement(1)
    return item_statements.statement(name) if name in item_statements._RAW else text  # pyright: ignore[reportPrivateUsage]


def all_statements() -> Iterator[tuple[str, str, sql.SQL]]:
    for package, file in files():
        for name, text in raw(package, file).items():
            yield package, name, text


def numbered(text: str) -> str:
    """`%(name)s` as `$1`, the same name the same number."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    return re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match[1]) + 1}", text).replace("%%", "%")


PREPARED = {f"{package}.{name}": text for package, name, text in all_statements() if _PREPARED.match(text.as_string())}


@pytest.mark.parametrize("place", PREPARED)
def test_postgres_understands_it(connection: Connection, place: str) -> None:
    connection.execute(item_statements.statement("make_stage"))
    connection.execute(item_statements.statement("make_probe"))
    connection.execute(_UNDO)
    connection.execute("create table public.any (id int primary key, at date)")
    connection.execute("create table public.kept (id int, changed_at timestamptz, old jsonb)")
    connection.execute(_ANY.statement("make_frame_stage"))
    vectors = connection.execute("select to_regclass('core.item_embeddings') is not null").fetchone()
    if vectors != (True,) and "embedd" in PREPARED[place].as_string():
        pytest.skip("this server has no pgvector")
    text = PREPARED[place]
    has_text = "{text}" in text.as_string()
    whole = text.format(text=text_expression(["name"])) if has_text else complete(place.rpartition(".")[2], text)
    connection.execute(f"prepare understood as {numbered(whole.as_string(connection))}".encode())
    connection.execute("deallocate understood")


def test_most_statements_are_prepared_here() -> None:
    assert len(PREPARED) > 2 * (len(list(all_statements())) - len(PREPARED))


@pytest.mark.parametrize("package", sorted({package for package, _ in files()}))
def test_every_statement_is_used_by_its_own_folder(package: str) -> None:
    folder = PACKAGE.parent.joinpath(*package.split("."))
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules(folder))
    names = [name for found, name, _ in all_statements() if found == package]
    assert [name for name in names if f'"{name}"' not in code] == []


def test_every_file_of_statements_is_packaged_and_found() -> None:
    assert len(files()) >= 8
