"""The same rows by every way in: the same core.items."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.branches import registry
from ingest_project.item import columns
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.torture import chain
from ingest_project_tests.extract.relations import location_of
from ingest_project_tests.extract.s3_server import bucket, endpoint
from ingest_project_tests.extract.web_server import serving
from ingest_project_tests.journey.conftest import FIRST, HEADER, spec_of
from ingest_project_tests.journey.states import rows

__all__ = ["bucket", "endpoint"]
ODD = ("15", 'Ünï "quoted", two', "Łódź", "PL", "51.75", "19.46", "2024-01-01T12:00:00.000001+02:00", " x\ny ")
ROWS = (*FIRST, ODD)
TYPES = {"id": pa.int32(), "lat": pa.float64(), "lon": pa.float64(), "updated": pa.timestamp("us", "UTC")}


def typed(name: str, value: str) -> Any:
    """A value as a typed source has it: no value where text has a blank."""
    if value == "":
        return None
    made = {"id": int, "lat": float, "lon": float, "updated": datetime.fromisoformat}.get(name, str)
    return made(value)


def as_csv() -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *ROWS])
    return text.getvalue().encode()


def as_jsonl() -> bytes:
    return b"".join(
        json.dumps({name: _json(name, value) for name, value in zip(HEADER, row, strict=True)}).encode() + b"\n"
        for row in ROWS
    )


def _json(name: str, value: str) -> Any:
    # Numbers are spelled as in the text: an issue quotes them.
    return value if name == "updated" else int(value) if value.isdigit() else typed(name, value)


def as_parquet() -> bytes:
    found = {
        name: pa.array([typed(name, row[at]) for row in ROWS], TYPES.get(name, pa.string()))
        for at, name in enumerate(HEADER)
    }
    data = io.BytesIO()
    pq.write_table(pa.table(found), data, row_group_size=5)
    return data.getvalue()


def as_zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


FILES: dict[str, Callable[[], bytes]] = {
    "plain.csv": as_csv,
    "bom.csv": lambda: b"\xef\xbb\xbf" + as_csv(),
    "crlf.csv": lambda: as_csv().replace(b"\n", b"\r\n").replace(b"x\r\ny", b"x\ny"),
    "packed.csv.gz": lambda: gzip.compress(as_csv()[:99]) + gzip.compress(as_csv()[99:]),
    "packed.csv.zst": lambda: as_zstd(as_csv()),
    "lines.jsonl": as_jsonl,
    "packed.jsonl.gz": lambda: gzip.compress(as_jsonl()),
    "columns.parquet": as_parquet,
}


@pytest.fixture
def expected(fresh_database: str, home: Path, tmp_path: Path) -> dict[str, Any]:
    """What the plain file comes to."""
    return ingested(tmp_path, "plain.csv")


def ingested(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    path.write_bytes(FILES[name]())
    return came_to(str(path))


def came_to(location: str, **given: Any) -> dict[str, Any]:
    """Ingest a branch of a source of its own; its items by key, and what became of the other rows."""
    name = location[-60:]
    with session() as connection:
        registry.apply_branch(connection, spec_of(Path("-"), name=name, source=name, location=location, **given))
    done = chain.ingest(name)
    wanted = ", ".join(f"i.{column}" for column in (*columns(), "content_hash", "embed_hash", "source_updated_at"))
    query = f"select {wanted}, i.attributes, i.issues from core.items i where branch_id = {done.branch_id}"
    with session() as connection:
        items = {row["external_id"]: row for row in rows(connection, query)}
        why = rows(
            connection,
            f"select row, errors -> 0 ->> 'code' as code from ingest.rejects where activation_id = {done.activation_id}"
            " order by row",
        )
    return {"state": done.state, "items": items, "rejects": why}


def test_the_rows_are_worth_comparing(expected: dict[str, Any]) -> None:
    assert (expected["state"], len(expected["items"])) == ("done", 10)
    assert [one["code"] for one in expected["rejects"]] == ["key_missing", "duplicate_key"]
    assert expected["items"]["15"]["attributes"] == {"color": " x\ny "}


def test_files(expected: dict[str, Any], tmp_path: Path) -> None:
    for name in FILES:
        if name != "plain.csv":
            assert ingested(tmp_path, name) == expected, name


def test_another_encoding_and_delimiter(expected: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([HEADER, *ROWS])
    path.write_bytes(text.getvalue().encode("utf-16"))
    assert came_to(str(path), delimiter=";", encoding="utf-16") == expected


def test_a_web_server(expected: dict[str, Any]) -> None:
    with serving() as web:
        for name, made in FILES.items():
            web.files[f"/{name}"] = made()
            assert came_to(f"{web.url}/{name}") == expected, name


def test_a_bucket(expected: dict[str, Any], bucket: Any) -> None:
    for name, made in FILES.items():
        bucket.pipe(f"bucket/every/{name}", made())
        assert came_to(f"s3://bucket/every/{name}") == expected, name


@pytest.mark.parametrize("kinds", ["typed", "text"])
@pytest.mark.parametrize("cursor", [None, "n"])
def test_a_relation(expected: dict[str, Any], fresh_database: str, kinds: str, cursor: str | None) -> None:
    declared = {"id": "int", "lat": "float8", "lon": "numeric", "updated": "timestamptz"} if kinds == "typed" else {}
    given = typed if kinds == "typed" else lambda name, value: value
    with psycopg.connect(fresh_database) as connection:
        listed = ", ".join(f"{name} {declared.get(name, 'text')}" for name in HEADER)
        connection.execute(f"create table public.every (n int, {listed})".encode())
        for at, row in enumerate(ROWS):
            values = [given(name, value) for name, value in zip(HEADER, row, strict=True)]
            connection.execute("insert into public.every values (%s, %s, %s, %s, %s, %s, %s, %s, %s)", [at, *values])
        names = ", ".join(("n", *HEADER) if cursor else HEADER)
        connection.execute(f"create view public.view as select {names} from public.every".encode())
    found = came_to(location_of(fresh_database, "public.view"), cursor=cursor)
    for item in found["items"].values():
        assert (item["attributes"].pop("n", None) is not None) == bool(cursor)
        if cursor:
            item["content_hash"] = expected["items"][item["external_id"]]["content_hash"]  # n is an attribute
    assert found["items"] == expected["items"]
    assert sorted(one["code"] for one in found["rejects"]) == sorted(one["code"] for one in expected["rejects"])


def test_roots_and_remotes_that_are_allowed_are_no_hindrance(
    expected: dict[str, Any], tmp_path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_ROOTS", str(tmp_path))
    settings.cache_clear()
    assert ingested(tmp_path, "bom.csv") == expected
