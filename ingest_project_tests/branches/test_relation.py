from pathlib import Path

import pytest
from psycopg.pq import Conninfo

from ingest_project.branches.relation import has_secret, is_relation, split_location, table_name
from ingest_project.branches.spec import load_spec, parse_spec
from ingest_project.errors import SpecInvalid
from ingest_project_tests.journey.conftest import write_spec


@pytest.mark.parametrize(
    ("location", "words", "table"),
    [
        ("postgresql://me@h/db?table=public.places", "postgresql://me@h/db", "public.places"),
        ("postgres://h:5433?table=t", "postgres://h:5433", "t"),
        ("postgresql://h/db?table=a.b&sslmode=require", "postgresql://h/db?sslmode=require", "a.b"),
        ("postgresql://h/db?sslmode=require&table=a.b", "postgresql://h/db?sslmode=require", "a.b"),
        ("postgresql://h/db?sslmode=require?table=a.b", "postgresql://h/db?sslmode=require", "a.b"),
        ("postgresql:///?service=x&table=%22A%20b%22.%22c%22", "postgresql:///?service=x", '"A b"."c"'),
        ("service=shop table=public.places", "service=shop", "public.places"),
        ("""service=shop table='"My shop"."it\\'s"' """, "service=shop ", '"My shop"."it\'s"'),
        ("table=t host=a,b port=1,2 dbname='x y'", " host=a,b port=1,2 dbname='x y'", "t"),
        ("postgresql://me:${PW}@h/db?table=t", "postgresql://me:${PW}@h/db", "t"),
    ],
)
def test_a_relation_is_taken_apart(location: str, words: str, table: str) -> None:
    assert is_relation(location)
    assert split_location(location) == (words, table)


@pytest.mark.parametrize(
    "location",
    [
        *("places.csv", "data/table=places/x.parquet", "table=places", "s3://bucket/x?table=t", "${FILE}"),
        *("a=b table=c", "https://example.org/x.csv?table=t", "postgres.csv", "/postgresql://x", "host=x"),
    ],
)  # fmt: skip
def test_files_are_no_relations(location: str) -> None:
    assert not is_relation(location)


def test_what_is_missing_is_said_without_quoting_it() -> None:
    with pytest.raises(ValueError, match="must name its table") as caught:
        split_location("postgresql://me:s3cr3t@h/db")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("postgresql://h/db?table=public.places&sslmode=require", "places"),
        ("${URL}?table=places", "places"),
        ("service=x table=s.places", "places"),
        ("""service=x table='"S"."My places"'""", "My places"),
        ("postgresql://h/db?table=%22S%22.%22My%20places%22", "My places"),
        ("postgresql://h/db", "postgresql://h/db"),
    ],
)
def test_a_branch_is_called_after_its_table(location: str, name: str) -> None:
    assert table_name(location) == name


def test_secrets_are_what_libpq_hides() -> None:
    hidden = {word.keyword.decode() for word in Conninfo.get_defaults() if word.dispchar == b"*"}
    for word in hidden:
        assert has_secret(f"postgresql://h/db?table=t&{word}=x")
        assert has_secret(f"host=h {word} = 'x' table=t")
    assert has_secret("postgresql://h/db?table=t&pass%77ord=x")
    assert not has_secret("service=x passfile=/etc/pass password= table=t")


def spec(**given: object) -> object:
    return parse_spec({"name": "b", "source": "s", "key": "id", "mapping": {"name": "n"}, **given}, origin="test")


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:secret@h/db?table=t",
        "postgresql://me@h/db?password=secret&table=t",
        "host=h password='secret' table=t",
        "host=h sslpassword=secret table=t",
        "postgresql://me:${A}secret@h/db?table=t",
    ],
)
def test_a_secret_in_a_location_is_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(SpecInvalid, match="must not carry a password") as caught:
        spec(location=location)
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


def test_variables_are_no_secrets() -> None:
    for location in ("postgresql://${U}:${P}@h/db?table=t", "host=${H} password=${P} table=t", "${URL}?table=t"):
        spec(location=location)


def test_a_cursor_is_for_relations() -> None:
    spec(location="postgresql://h/db?table=t", cursor="id")
    spec(location="${SHOP}", cursor="id")
    with pytest.raises(SpecInvalid, match="cursor is a column of a relation"):
        spec(location="places.csv", cursor="id")
    with pytest.raises(SpecInvalid, match="tombstone takes one state of a relation"):
        spec(location="postgresql://h/db?table=t", cursor="id", missing="tombstone")


def test_a_relation_is_not_relative_to_its_file(tmp_path: Path) -> None:
    file = write_spec(tmp_path / "b.yaml", name="b", source="s", location="service=shop table=t")
    assert load_spec(file).location == "service=shop table=t"


def test_what_is_inside_a_column_of_a_relation_is_selected_by_a_view() -> None:
    given = {"name": "a", "source": "s", "key": "id", "mapping": {"name": "name"}, "nested": "flatten"}
    with pytest.raises(SpecInvalid, match="nested: flatten is for files"):
        parse_spec({**given, "location": "postgresql://h/db?table=public.t"}, origin="test")
    assert parse_spec({**given, "location": "a.jsonl"}, origin="test").nested == "flatten"
