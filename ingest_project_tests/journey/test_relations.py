"""A table as a branch: one command, one state of it, killed and taken up again."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ingest_project.branches import registry
from ingest_project.branches.spec import load_spec
from ingest_project.postgres.connection import session
from ingest_project.torture import chain
from ingest_project_tests.extract.relations import location_of, run
from ingest_project_tests.journey.conftest import Ran, spec_of
from ingest_project_tests.journey.states import rows

Command = Callable[..., Ran]
MAKE = """
create table {} (code text primary key, title text not null, city text, country text, lat float8, lng float8,
                 changed timestamptz not null default '2024-01-01', tags text[])"""
FILL = """
insert into {} select 'c' || n, 'Place ' || n, 'Berlin', 'DE', 52.5, 13.4, default, array['a', 'b']
  from generate_series(1, 20) n"""


@pytest.fixture
def table(database: str) -> str:
    name = f"public.places_{uuid4().hex[:8]}"
    run(database, MAKE.format(name), FILL.format(name).replace("default", "'2024-01-01'"))
    return name


def test_a_table_alone_is_enough(command: Command, database: str, table: str) -> None:
    location = location_of(database, table)
    name = table.partition(".")[2]
    planned = command("plan", location, "--json")
    assert (planned.json["state"], planned.json["plan"]["inserted"]) == ("planned", 20), planned.err
    assert "key           ←  code     c1, c2, c3" in planned.err
    ran = command("run", location, "--json")
    assert (ran.json["branch"], ran.json["inserted"], ran.json["rejected"]) == (name, 20, 0), ran.err
    run(database, f"update {table} set title = 'Changed', changed = '2024-02-01' where code = 'c7'")
    again = command("run", name, "--json").json
    assert (again["updated"], again["unchanged"]) == (1, 19)
    with session() as connection:
        query = f"select * from core.items_with_provenance where branch = '{name}' and name = 'Changed'"
        (found,) = rows(connection, query)
    assert found["attributes"] == {"tags": '["a","b"]'}
    assert found["files"][0]["path"].endswith(f"?table={table}")


def test_a_branch_file_for_a_table_and_a_service(
    command: Command, database: str, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACES_URL", database)
    target = tmp_path / "b.yaml"
    location = f"${{PLACES_URL}}?table={table}"
    assert command("branch", "init", location, "--output", target).code == 0
    spec = load_spec(target)
    assert (spec.location, spec.key, spec.updated_at) == (location, "code", "changed")
    assert command("branch", "apply", target).code == 0
    assert command("run", spec.name, "--json").json["inserted"] == 20


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("postgresql://me:s3cr3t@h/db?table=t", "must not carry a password"),
        ("postgresql://me@h/db?table=t&password=s3cr3t", "must not carry a password"),
        ("host=h password=s3cr3t table=t", "must not carry a password"),
        ("postgresql://me@h/db?table=t&sslpassword=s3cr3t", "must not carry a password"),
        ("postgresql://me@h/db", "must name its table"),
    ],
)
@pytest.mark.parametrize("verb", [("run",), ("plan",), ("branch", "init")])
def test_a_location_that_cannot_be(command: Command, verb: tuple[str, ...], location: str, words: str) -> None:
    ran = command(*verb, location)
    assert ran.code == 2
    assert words in ran.err
    assert "s3cr3t" not in ran.err + ran.out


def test_our_own_items_are_a_relation_like_any(command: Command, database: str, table: str) -> None:
    command("run", location_of(database, table))
    name = f"copy-{uuid4().hex[:8]}"
    ran = command("run", location_of(database, "core.items"), "--name", name, "--key", "item_id", "--json")
    assert (ran.code, ran.json["rejected"]) == (0, 0), ran.err
    assert ran.json["inserted"] >= 20


# ── killed ──────────────────────────────────────────────────────────────────────────────────────────────────


def registered(database: str, cursor: str | None) -> str:
    """A branch of twenty rows: five parts of four."""
    run(database, MAKE.format("public.places"), FILL.format("public.places").replace("default", "'2024-01-01'"),
        "alter table public.places add n int generated always as identity unique")  # fmt: skip
    mapping = {"name": "title", "locality": "city"}
    given: dict[str, Any] = {"location": location_of(database, "public.places"), "key": "code", "updated_at": "changed"}
    with session() as connection:
        registry.apply_branch(connection, spec_of(Path("-"), **given, mapping=mapping, cursor=cursor))
    return "places"


def killed_in_the_middle(name: str) -> None:
    child = chain.start(name, run_id="killed", failpoint="part_listed:3")
    child.join(300)
    assert child.exitcode == -signal.SIGKILL


EPOCHS = "select part, epoch from ingest.parts where asset = 'branch_snapshot' order by part"


def names() -> dict[str, str]:
    with session() as connection:
        return {row["external_id"]: row["name"] for row in rows(connection, "select external_id, name from core.items")}


@pytest.mark.usefixtures("home")
def test_killed_in_the_middle_all_of_it_is_read_anew_in_one_state(fresh_database: str) -> None:
    name = registered(fresh_database, None)
    killed_in_the_middle(name)
    run(fresh_database, "update public.places set title = 'later'", "delete from public.places where code = 'c20'")
    done = chain.ingest(name, run_id="resumed")
    assert (done.state, done.rows_read, done.inserted) == ("done", 19, 19)
    assert set(names().values()) == {"later"}
    with session() as connection:
        assert {row["epoch"] for row in rows(connection, EPOCHS)} == {2}
    assert done.pin is not None
    assert done.pin["relation"]["rows"] == 19


@pytest.mark.usefixtures("home")
def test_killed_in_the_middle_it_goes_on_where_a_cursor_is_declared(fresh_database: str) -> None:
    name = registered(fresh_database, "n")
    killed_in_the_middle(name)
    run(fresh_database, "update public.places set title = 'later'",
        "insert into public.places (code, title) values ('c21', 'after the pin')")  # fmt: skip
    done = chain.ingest(name, run_id="resumed")
    assert (done.state, done.rows_read, done.inserted) == ("done", 20, 20)
    found = names()
    assert [found[f"c{n}"] == "later" for n in range(1, 21)] == [False] * 12 + [True] * 8
    with session() as connection:
        assert [row["epoch"] for row in rows(connection, EPOCHS)] == [1, 1, 1, 2, 2]


@pytest.mark.usefixtures("home")
def test_once_it_is_read_the_source_is_not_asked_again(fresh_database: str) -> None:
    name = registered(fresh_database, None)
    child = chain.start(name, run_id="killed", failpoint="snapshot_ended")
    child.join(300)
    run(fresh_database, "drop table public.places")
    assert chain.ingest(name, run_id="resumed").inserted == 20
