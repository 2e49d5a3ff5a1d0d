"""SQL files: what the loader asks of them, and that every one of the package is as it asks."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from psycopg import sql

import ingest_project
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

PACKAGE = Path(ingest_project.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.sql") if path.parent.name != "versions")
Load = Callable[[str], Mapping[str, sql.SQL]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Load:
    """Load a text as if it were the file beside a module."""
    package = f"statements_of_{abs(hash(request.node.name))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def of(text: str) -> Mapping[str, sql.SQL]:
        (tmp_path / package / "x.sql").write_text(text, encoding="utf-8")
        return statements.load(f"{package}.module", "x.sql")

    yield of
    sys.modules.pop(package, None)


def test_statements_come_by_name_without_their_semicolon(load: Load) -> None:
    found = load("-- name: one\n-- The first.\nselect 1;\n\n-- name: two\n-- The\n-- second.\nselect\n  2\n;\n")
    assert {name: text.as_string() for name, text in found.items()} == {"one": "select 1", "two": "select\n  2\n"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "select 1;\n",
        "-- name: one\nselect 1;\n",
        "-- name: one\n--\nselect 1;\n",
        "-- name: One\n-- Purpose.\nselect 1;\n",
        "-- name: 1st\n-- Purpose.\nselect 1;\n",
        "-- name:one\n-- Purpose.\nselect 1;\n",
        "-- name: one \n-- Purpose.\nselect 1;\n",
        "-- name: one\n-- Purpose.\nselect 1;\n-- name: two\nselect 2;\n",
    ],
)
def test_a_statement_without_name_or_purpose_is_refused(load: Load, text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.sql: every statement needs '-- name: x' and a line of purpose"):
        load(text)


def test_a_name_that_is_used_twice_is_refused(load: Load) -> None:
    with pytest.raises(ValueError, match=r"x\.sql: a name is used twice"):
        load("-- name: one\n-- A.\nselect 1;\n-- name: one\n-- B.\nselect 2;\n")


def test_percent_signs_braces_and_other_letters_survive(load: Load, connection: Connection) -> None:
    found = load(
        "-- name: odd\n-- Über %% {and} what.\nselect 'ü%%' || %(value)s, '{{}}'::jsonb, 7 %% 4 as {column}, E'\\';';\n"
    )
    query = found["odd"].format(column=sql.Identifier('a "column"'))
    cursor = connection.execute(query, {"value": "東%s{}"})
    assert cursor.fetchone() == ("ü%東%s{}", {}, 3, "';")
    assert cursor.description
    assert cursor.description[2].name == 'a "column"'


def test_what_is_loaded_cannot_be_changed_and_is_read_once(load: Load) -> None:
    found = load("-- name: one\n-- A.\nselect 1;\n")
    with pytest.raises(TypeError):
        found["one"] = sql.SQL("select 2")  # pyright: ignore[reportIndexIssue]
    assert load("-- name: one\n-- A.\nselect 2;\n") is found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_file_of_the_package_loads_and_is_used(file: Path) -> None:
    package = ".".join(("ingest_project", *file.parent.relative_to(PACKAGE).parts))
    found = statements.load(f"{package}.module", file.name)
    code = "".join(path.read_text(encoding="utf-8") for path in file.parent.glob("*.py"))
    assert [name for name in found if f'"{name}"' not in code] == []


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) >= 4
