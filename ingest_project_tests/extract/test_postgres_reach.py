"""Which servers may be asked, and where credentials come from."""

from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from ingest_project.errors import (
    SourceMissing,
    SourceUnreadable,
)
from ingest_project.extract import preflight
from ingest_project.settings import settings
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import rows_of
from ingest_project_tests.extract.relations import PLACES, Branch, MakeTable, branch, location_of, table

__all__ = ["branch", "table"]


# ── where it may be ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("allowed", "location", "fine"),
    [
        ("postgresql://db.example.org", "postgresql://me@db.example.org/x?table=t", True),
        ("postgres://db.example.org:5432/x", "postgresql://me@db.example.org/x?table=t", True),
        ("postgresql://db.example.org/x", "postgresql://me@db.example.org/y?table=t", False),
        ("postgresql://db.example.org", "postgresql://me@db.example.org:5433/x?table=t", False),
        ("postgresql://db.example.org", "postgresql://me@db.example.org,evil.example.org/x?table=t", False),
        ("postgresql://db.example.org", "postgresql://me@db.example.org/x?hostaddr=10.0.0.1&table=t", False),
        ("postgresql://db.example.org", "host=evil.example.org dbname=x table=t", False),
        ("s3://bucket", "postgresql://me@db.example.org/x?table=t", False),
        ("postgresql://db.example.org/x", "postgresql://me@db.example.org/x%2F..%2Fy?table=t", False),
    ],
)
def test_hosts_are_those_of_the_worker(
    spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, allowed: str, location: str, fine: bool
) -> None:
    monkeypatch.setenv("INGEST_REMOTE", allowed)
    monkeypatch.setattr("ingest_project.extract.server.open_session", reached)
    settings.cache_clear()
    with pytest.raises(Reached if fine else SourceUnreadable) as caught:
        preflight.check(spec(location))
    assert fine or "outside the URLs that INGEST_REMOTE allows" in str(caught.value)


class Reached(Exception):
    """The connection would have been made."""


def reached(url: str) -> None:
    raise Reached(url)


def test_where_libpq_went_is_asked_again(
    table: MakeTable, branch: Branch, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    name = table(*PLACES)
    monkeypatch.setenv("INGEST_REMOTE", "postgresql:///elsewhere postgresql://127.0.0.9/")
    settings.cache_clear()
    with pytest.raises(SourceUnreadable, match="INGEST_REMOTE"):
        preflight.check(branch(name))
    where = urlsplit(database)
    monkeypatch.setenv("INGEST_REMOTE", f"postgresql://{where.netloc.rpartition('@')[2]}{where.path}")
    settings.cache_clear()
    assert len(rows_of(branch(name))) == 10


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────


def test_parts_of_the_location_come_from_the_environment(
    table: MakeTable, database: str, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = table(*PLACES)
    monkeypatch.setenv("PLACES_URL", database)
    monkeypatch.setenv("PLACES_TABLE", name)
    # Where the server trusts, any word will do.
    monkeypatch.setenv("PLACES_PASSWORD", unquote(urlsplit(database).password or "p@ss/w:rd?&=#"))
    for location in (
        f"${{PLACES_URL}}{'&' if '?' in database else '?'}table={name}",
        f"${{PLACES_URL}}?table={name}",
        location_of(database, "${PLACES_TABLE}").replace("%24%7B", "${").replace("%7D", "}"),
        location_of(database, name, password="${PLACES_PASSWORD}").replace("%24%7B", "${").replace("%7D", "}"),
    ):
        source, pin = preflight.check(spec(location))
        assert pin.files[0].path.endswith(f"table={name}")
        assert "p@ss" not in str(pin.to_json())
        source.close()


def test_a_service_of_libpqs_own_file(
    table: MakeTable, database: str, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    name = table(*PLACES)
    words = psycopg.conninfo.conninfo_to_dict(database)
    lines = [f"{key}={value}" for key, value in words.items()]
    (tmp_path / "services").write_text("\n".join(["[places]", *lines]) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    for location in (f"service=places table={name}", f"postgresql:///?service=places&table={name}"):
        assert len(rows_of(spec(location))) == 10


def test_a_variable_that_is_not_set(spec: MakeSpec) -> None:
    for location in ("${NO_SUCH_URL}?table=t", "postgresql://me:${NO_SUCH_WORD}@h/db?table=t"):
        with pytest.raises(SourceMissing, match="NO_SUCH"):
            preflight.check(spec(location))


def test_a_variable_that_is_no_url_of_postgres(spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", "postgresql://me:s3cret@[::1/db")
    with pytest.raises(SourceUnreadable, match="no valid URL") as caught:
        preflight.check(spec("${SOME_URL}?table=t"))
    assert "s3cret" not in str(caught.value)
