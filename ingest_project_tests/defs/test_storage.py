"""Dagster's own tables, in a schema of the same Postgres that the items are in, however its address is written."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from dagster._core.instance import InstanceRef
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from ingest_project.branches import registry
from ingest_project.defs.checkpoints import Checkpoint, Checkpoints
from ingest_project.defs.home import dagster_home
from ingest_project.defs.partitions import ensure_partition
from ingest_project.defs.storage import IngestDagsterStorage, sqlalchemy_url
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import migrate
from ingest_project.settings import settings
from ingest_project_tests.defs.conftest import CHAIN, Line
from ingest_project_tests.journey.conftest import spec_of, write_csv
from ingest_project_tests.journey.states import rows

OURS = "-csearch_path=dagster"
URLS: dict[str, dict[str, Any]] = {
    "postgresql://me@db:5433/items": {"user": "me", "host": "db", "port": "5433", "dbname": "items"},
    "postgres://me@db/items": {"user": "me", "host": "db", "dbname": "items"},
    "postgresql://me:p%40%2F%3A%3F%23%25%2Bw@db/items": {
        **{"user": "me", "password": "p@/:?#%+w", "host": "db", "dbname": "items"},
    },
    "postgresql://me%40corp:x@db/my%20items": {"user": "me@corp", "password": "x", "host": "db", "dbname": "my items"},
    "postgresql://postgres:@/items?host=%2Ftmp%2Fa%20b": {"user": "postgres", "host": "/tmp/a b", "dbname": "items"},
    "postgresql://me@db/items?password=a+b%26c": {
        **{"user": "me", "password": "a+b&c", "host": "db", "dbname": "items"},
    },
    "postgresql://me@db/items?sslmode=verify-full&sslrootcert=%2Fca.pem&application_name=x": {
        **{"user": "me", "host": "db", "dbname": "items", "sslmode": "verify-full", "sslrootcert": "/ca.pem"},
        "application_name": "x",
    },
    "postgresql://me@db/items?options=-c%20statement_timeout%3D5s": {
        **{"user": "me", "host": "db", "dbname": "items", "options": f"-c statement_timeout=5s {OURS}"},
    },
    "postgresql://me@one:1,two:2/items?target_session_attrs=read-write": {
        **{"user": "me", "host": "one,two", "port": "1,2", "dbname": "items", "target_session_attrs": "read-write"},
    },
    "postgresql://me@[::1]:5433/items": {"user": "me", "host": "::1", "port": "5433", "dbname": "items"},
    "postgresql://": {},
    "host=db port=5433 user=me password='p@ /\\'w' dbname=items sslmode=require": {
        **{"user": "me", "password": "p@ /'w", "host": "db", "port": "5433", "dbname": "items", "sslmode": "require"},
    },
    "host=/run/postgresql dbname='my items' options='-c geqo=off'": {
        **{"host": "/run/postgresql", "dbname": "my items", "options": f"-c geqo=off {OURS}"},
    },
    "service=items": {"service": "items"},
}


@pytest.mark.parametrize("url", URLS)
def test_psycopg2_is_told_what_libpq_would_read(url: str) -> None:
    made = make_url(sqlalchemy_url(url))
    assert made.drivername == "postgresql+psycopg2"
    positional, told = made.get_dialect()().create_connect_args(made)
    assert positional == []
    assert {key: str(value) for key, value in told.items()} == {"options": OURS, **URLS[url]}


@pytest.mark.parametrize("form", ["url", "keywords"])
def test_sqlalchemy_gets_through_and_lands_in_dagsters_schema(empty_database: str, form: str) -> None:
    url = empty_database
    if form == "keywords":
        url = " ".join(
            f"{key}='{value}'" for key, value in psycopg.conninfo.conninfo_to_dict(empty_database).items() if value
        )
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        assert connection.execute(text("show search_path")).scalar() == "dagster"
    engine.dispose()


@pytest.fixture
def stored(empty_database: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance of the shipped dagster.yaml, on an empty database."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with dg.DagsterInstance.from_config(str(dagster_home())) as instance:
        yield instance


def test_all_of_dagster_is_in_the_schema_dagster_and_serves_a_run(
    stored: dg.DagsterInstance, tmp_path: Path, home: Path
) -> None:
    with session() as connection:
        assert schemas(connection) == {"dagster"}
    with session() as connection:
        migrate()
        spec = spec_of(write_csv(tmp_path / "places.csv", [("1", "A", "Rome", "IT", "1", "1", "2024-01-01", "red")]))
        registry.apply_branch(connection, spec)
        branch_id = registry.get_branch(connection, spec.name).branch_id
        ensure_partition(stored, spec.name)
        run = Line(spec.name, branch_id, tmp_path / "places.csv", stored).run()
        assert run.success
        assert schemas(connection) == {"dagster", "core", "ingest"}
        assert rows(connection, "select pipeline_name, status from dagster.runs") == [
            {"pipeline_name": "ingest_branch", "status": "SUCCESS"}
        ]
        assert len(rows(connection, "select * from dagster.kvs where key like 'ingest_project/%'")) == 4
    assert run.materialized == list(CHAIN)
    assert stored.fetch_materializations(dg.AssetKey("core_items"), limit=1).records[0].partition_key == spec.name
    assert Checkpoints(stored).get(spec.name, "core_items") == Checkpoint(1, 1, run.id, complete=True)
    say_nothing_secret(stored)


def schemas(connection: psycopg.Connection[Any]) -> set[str]:
    query = "select distinct schemaname::text from pg_tables where schemaname !~ '^(pg_|information_schema)'"
    return {name for (name,) in connection.execute(query).fetchall()}


def say_nothing_secret(instance: dg.DagsterInstance) -> None:
    """Neither the address nor a password is in what Dagster shows of its configuration or hands to its processes."""
    told = f"{instance.info_str()} {instance.get_ref().to_dict()}"
    assert "IngestDagsterStorage" in told
    assert "postgresql" not in told


def test_the_shipped_settings_are_understood(stored: dg.DagsterInstance) -> None:
    assert stored.run_monitoring_enabled
    assert stored.run_retries_enabled
    assert stored.run_retries_max_retries == 3
    assert not stored.run_retries_retry_on_asset_or_op_failure
    assert not stored.telemetry_enabled


def test_processes_that_start_together_make_one_schema_and_its_tables_once(empty_database: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        storages = list(pool.map(lambda _: IngestDagsterStorage.from_config_value(None, {}), range(6)))
    for storage in storages:
        assert storage.run_storage.get_run_ids() == []
    with session() as connection:
        assert schemas(connection) == {"dagster"}


def test_a_role_that_may_not_create_schemas_uses_the_one_that_is_there(
    superuser: None, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"ingest_test_{uuid4().hex[:12]}"
    with session(empty_database) as connection:
        connection.execute("create schema dagster")
        connection.execute(f"create role {role} login password 'secret'")
        connection.execute(f"grant all on schema dagster to {role}")
    try:
        as_role = psycopg.conninfo.make_conninfo(empty_database, user=role, password="secret")
        monkeypatch.setenv("INGEST_DATABASE_URL", as_role)
        settings.cache_clear()
        assert IngestDagsterStorage.from_config_value(None, {}).run_storage.get_run_ids() == []
    finally:
        monkeypatch.undo()
        settings.cache_clear()
        with session(empty_database) as connection:
            connection.execute(f"drop owned by {role} cascade")
            connection.execute(f"drop role {role}")


def test_the_storage_has_nothing_to_configure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    ref = InstanceRef.from_dir(str(dagster_home()))
    assert ref.custom_instance_class_data is None
    assert ref.storage_data is not None
    assert ref.storage_data.class_name == "IngestDagsterStorage"
    assert IngestDagsterStorage.config_type() == {}
