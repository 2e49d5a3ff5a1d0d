"""The schema: from nothing to now, twice, by many at once, by those who may not, and beside a newer release."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest_project.errors import DatabaseReadOnly, MigrationFailed
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated, ensure_vectors, head, is_current, migrate
from ingest_project_tests.postgres.conftest import one

# All that a schema is, one line each.
FINGERPRINT = """
select string_agg(line, E'\\n' order by line) from (
  select format('%s.%s %s %s %s', n.nspname, c.relname, a.attname, a.atttypid::regtype, a.attnotnull) as line
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ('ingest', 'core') and a.attnum > 0
  union all select format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) from pg_constraint
   where connamespace in ('ingest'::regnamespace, 'core'::regnamespace)
  union all select indexdef from pg_indexes where schemaname in ('ingest', 'core')
  union all select pg_get_functiondef(p.oid) from pg_proc p where pronamespace = 'ingest'::regnamespace
  union all select version_num from ingest.alembic_version
  union all select model || model_id from core.embedding_models) l"""
PARTITIONED = ("ingest.parts", "ingest.batches", "ingest.rejects", "core.item_versions")


@pytest.fixture
def stranger(superuser: None, empty_database: str) -> Iterator[str]:
    """Url of a role that may connect to an empty database, and do no more."""
    role = f"stranger_{uuid4().hex[:8]}"
    with session(empty_database) as connection:
        connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
    yield with_role(empty_database, role)
    with session(empty_database) as connection:
        connection.execute(sql.SQL("drop owned by {} cascade").format(sql.Identifier(role)))
        owner = connection.info.user
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} owner to {}").format(database, sql.Identifier(owner)))
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def with_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}@{host}"))


def fingerprint(url: str) -> object:
    with session(url) as connection:
        return one(connection, FINGERPRINT)


def test_every_view_says_what_it_answers(fresh_database: str) -> None:
    with session(fresh_database) as connection:
        views = connection.execute(
            "select oid::regclass::text, obj_description(oid, 'pg_class') from pg_class"
            " where relkind = 'v' and relnamespace in ('ingest'::regnamespace, 'core'::regnamespace)"
        ).fetchall()
    assert len(views) >= 8
    assert [name for name, answer in views if not answer] == []


def test_an_empty_database_is_brought_to_head(empty_database: str) -> None:
    with session() as connection:
        assert not is_current(connection)
        assert migrate() == head() == max(re.findall(r"^(\d{4})_", version_files(), re.MULTILINE))
        assert is_current(connection)
        assert one(connection, "select version_num from ingest.alembic_version") == head()
        assert one(connection, "select count(*) from core.embedding_models where state = 'active'") == 1


def version_files() -> str:
    return "\n".join(path.name for path in files("ingest_project.postgres.migrations.versions").iterdir())


def test_a_second_time_nothing_is_done(empty_database: str) -> None:
    migrate()
    before = fingerprint(empty_database)
    with session() as connection:
        written = one(connection, "select pg_current_wal_insert_lsn()::text")
        migrate()
        ensure_migrated()
        row = connection.execute("select pg_current_wal_insert_lsn() - %s::pg_lsn < 1000000", (written,)).fetchone()
    assert row == (True,)
    assert fingerprint(empty_database) == before


def test_many_at_once_make_one_schema(empty_database: str, template: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: migrate(empty_database), range(8))) == {head()}
    assert fingerprint(empty_database) == fingerprint(template)


def test_what_needs_the_schema_makes_it(empty_database: str) -> None:
    ensure_migrated()
    with session() as connection:
        assert is_current(connection)


def test_a_role_that_may_not_is_told_the_grant(empty_database: str, stranger: str) -> None:
    with pytest.raises(MigrationFailed) as caught:
        migrate(stranger)
    role, database = urlsplit(stranger).username, urlsplit(stranger).path[1:]
    error = caught.value
    assert f'As the DBA: grant create on database "{database}" to "{role}";' in error.todo
    assert error.where["role"] == role
    assert error.where["sqlstate"] == "42501"
    with session() as connection:
        assert one(connection, "select to_regnamespace('ingest') is null and to_regnamespace('core') is null")
        grant = error.todo.removeprefix("As the DBA: ").partition(";")[0]
        connection.execute(grant.encode())
    assert migrate(stranger) == head()


def test_a_role_that_may_not_read_the_schema_is_told_so(empty_database: str, stranger: str) -> None:
    migrate()
    with pytest.raises(MigrationFailed, match="permission denied") as caught:
        migrate(stranger)
    assert caught.value.where["sqlstate"] == "42501"
    with session() as connection:
        grant = caught.value.todo.removeprefix("As the DBA: ").partition(";")[0]
        assert grant == f'grant "{connection.info.user}" to "{urlsplit(stranger).username}"'
        connection.execute(grant.encode())
    assert migrate(stranger) == head()


def test_a_server_that_takes_no_writes_is_told_as_such(empty_database: str) -> None:
    with pytest.raises(DatabaseReadOnly, match="read-only transaction") as caught:
        migrate(make_conninfo(empty_database, options="-c default_transaction_read_only=on"))
    assert caught.value.where["sqlstate"] == "25006"


def test_an_owner_of_the_database_needs_no_more_but_for_vectors(
    empty_database: str, stranger: str, template: str
) -> None:
    with session() as dba, session(stranger) as owner:
        names = sql.Identifier(dba.info.dbname), sql.Identifier(owner.info.user)
        dba.execute(sql.SQL("alter database {} owner to {}").format(*names))
        assert one(owner, "select not rolsuper from pg_roles where rolname = current_user")
        assert migrate(stranger) == head()
        assert is_current(owner)
        assert lines(fingerprint(template)) - lines(fingerprint(stranger)) <= {*lines_of_vectors(template)}
        register(owner)
        assert one(owner, "select ingest.activate('b')") == 1
        write_everywhere(owner, 1)
        if one(dba, "select exists (select from pg_available_extensions where name = 'vector')"):
            dba.execute("create extension if not exists vector")
            assert migrate(stranger) == head()
            assert fingerprint(stranger) == fingerprint(template), "and what the DBA gave is used"


def test_vectors_out_of_sight_are_no_reason_to_fail(empty_database: str) -> None:
    with session() as connection:
        if not one(connection, "select exists (select from pg_available_extensions where name = 'vector')"):
            pytest.skip("this server has no pgvector")
        connection.execute("create schema extensions")
        connection.execute("create extension vector schema extensions")
        assert migrate() == head()
        assert not ensure_vectors(connection)
        assert one(connection, "select to_regclass('core.item_embeddings') is null")


def lines(text: object) -> set[str]:
    return set(str(text).splitlines())


def lines_of_vectors(url: str) -> set[str]:
    return {line for line in lines(fingerprint(url)) if "item_embeddings" in line}


@pytest.mark.parametrize("newer", [f"{int(head()) + 1:04}", "9999"])
def test_a_database_of_a_newer_release_is_left_as_it_is(empty_database: str, newer: str) -> None:
    migrate()
    with session() as connection:
        connection.execute("update ingest.alembic_version set version_num = %s", (newer,))
        connection.execute("alter table core.items add column of_a_later_release int")
    before = fingerprint(empty_database)
    ensure_migrated()
    migrate()
    assert fingerprint(empty_database) == before


def test_a_revision_that_is_not_ours_is_said_and_left(empty_database: str) -> None:
    migrate()
    with session() as connection:
        connection.execute("update ingest.alembic_version set version_num = '0000'")
    before = fingerprint(empty_database)
    with pytest.raises(MigrationFailed) as caught:
        migrate()
    assert "0000" in caught.value.what
    assert "Another release" in caught.value.todo
    assert fingerprint(empty_database) == before


def test_a_step_that_fails_leaves_nothing(empty_database: str) -> None:
    with session() as connection:
        connection.execute("create schema core")
        connection.execute("create table core.items (somebody_elses int)")
    with pytest.raises(MigrationFailed, match='"items" already exists') as caught:
        migrate()
    assert caught.value.where["sqlstate"] == "42P07"
    with session() as connection:
        assert one(connection, "select to_regnamespace('ingest') is null")
        assert one(connection, "select count(*) from pg_tables where schemaname = 'core'") == 1


@pytest.fixture
def branch(fresh_database: str) -> Iterator[Connection]:
    """A session in a database with one branch."""
    with session() as connection:
        register(connection)
        yield connection


def register(connection: Connection) -> None:
    connection.execute("insert into ingest.sources (name) values ('s')")
    connection.execute(
        """insert into ingest.branches (name, source_id, spec, spec_digest, priority)
           select 'b', source_id, '{}', '', 0 from ingest.sources"""
    )


@pytest.mark.parametrize("activation", [1, 999, 1000, 2001])
def test_an_activation_has_its_partitions_and_the_next_ones(branch: Connection, activation: int) -> None:
    branch.execute(sql.SQL("alter table ingest.activations alter activation_id restart {}").format(activation))
    assert one(branch, "select ingest.activate('b')") == activation
    for id_ in (activation, activation + 1000):
        write_everywhere(branch, id_)
    for table in PARTITIONED:
        found = branch.execute(
            "select relid::regclass::text from pg_partition_tree(%s::regclass) where isleaf order by 1", (table,)
        ).fetchall()
        blocks = sorted({0, 1, activation // 1000, activation // 1000 + 1})
        assert [name for (name,) in found] == [f"{table}_{block:06}" for block in blocks]


def write_everywhere(connection: Connection, activation: int) -> None:
    for statement in (
        """insert into ingest.parts (activation_id, asset, part, epoch, path, rows, bytes, digest, run_id)
           values (%s, 'branch_snapshot', 0, 1, '', 0, 0, '', '')""",
        """insert into ingest.batches (activation_id, part, valid, inserted, updated, touched, unchanged, stale, epoch,
                                       run_id) values (%s, 0, 0, 0, 0, 0, 0, 0, 1, '')""",
        """insert into ingest.rejects (activation_id, part, "row", errors, raw) values (%s, 0, 1, '[1]', '')""",
        "insert into core.item_versions (written_by_activation, item_id, version, op) values (%s, 1, 1, 'i')",
    ):
        connection.execute(statement, (activation,))


def test_activations_go_on_past_the_end_of_a_block(branch: Connection) -> None:
    branch.execute("alter table ingest.activations alter activation_id restart 998")
    for _ in range(4):
        activation = one(branch, "select ingest.activate('b')")
        assert isinstance(activation, int)
        write_everywhere(branch, activation)
        branch.execute("update ingest.activations set state = 'failed', closed_at = now()")
    assert activation == 1001


def test_new_partitions_do_not_wait_for_batches_under_way(branch: Connection) -> None:
    branch.execute("alter table ingest.activations alter activation_id restart 5000")
    with session() as writer, writer.transaction():
        write_everywhere(writer, 1)
        branch.execute("set lock_timeout = '5s'")
        assert one(branch, "select ingest.activate('b')") == 5000


def test_a_partition_has_the_constraints_of_its_table(branch: Connection) -> None:
    one(branch, "select ingest.activate('b')")
    with pytest.raises(psycopg.errors.CheckViolation):
        branch.execute("insert into core.item_versions values (1500, 1, 1, 'x', null, now())")
    with pytest.raises(psycopg.errors.NotNullViolation):
        branch.execute("insert into core.item_versions values (1500, 1, null, 'i', null, now())")
