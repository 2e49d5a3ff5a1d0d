"""What Postgres does to a batch under way: it ends in words and a state that resumes, or is tried again by itself."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ingest_project import failpoints
from ingest_project.branches import registry
from ingest_project.defs.failures import as_database_error
from ingest_project.errors import DatabaseUnreachable, IngestError
from ingest_project.postgres import embedded, leases
from ingest_project.postgres.connection import connect, session
from ingest_project.postgres.migrations import migrate
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place, spec_of, write_csv
from ingest_project_tests.journey.proxy import proxied
from ingest_project_tests.journey.test_exactly_once import settled

At = Callable[[str, Callable[[], None]], None]
Undisturbed = tuple[Place, dict[str, Any]]
COUNTS = ("inserted", "updated", "touched", "unchanged", "stale")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Do something, once, when an ingest of this process gets to a failpoint."""

    def arm(name: str, act: Callable[[], None]) -> None:
        left = [act]

        def reach(reached: str) -> None:
            if reached == name and left:
                left.pop()()

        monkeypatch.setattr(failpoints, "reach", reach)

    return arm


@pytest.fixture
def undisturbed(branch: Callable[..., Place]) -> Undisturbed:
    """A branch at its first state, and what its tables say after the second one without disturbance."""
    twin = branch(FIRST, name="twin", source="twin")
    for rows in (FIRST, SECOND):
        twin.holds(rows)
        ingest(twin.name)
    place = branch(FIRST, name="places")
    ingest(place.name)
    place.holds(SECOND)
    return place, items_of("twin")


def items_of(source: str) -> dict[str, Any]:
    """Items of one source with their history and requests, without what names it."""
    with session() as connection:
        rows = connection.execute(_ITEMS, (source,)).fetchall()
    return {row[0]: row[1:] for row in rows}


_ITEMS = """
           select i.external_id, i.name, i.content_hash, i.version, i.source_updated_at, i.part,
                  (select count(*) from core.item_versions v where v.item_id = i.item_id),
                  (select r.content_hash from core.embedding_requests r where r.item_id = i.item_id)
             from core.items i join ingest.sources s using (source_id) where s.name = %s order by 1"""


def resumes(place: Place, expected: dict[str, Any]) -> None:
    ingest(place.name)
    assert items_of("test") == expected


def terminate_us() -> None:
    with session() as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("point", ["part_listed", "probed", "batch_staged", "batch_inserted", "requests_derived"])
def test_a_session_that_is_terminated_resumes(undisturbed: Undisturbed, at: At, point: str) -> None:
    place, expected = undisturbed
    at(point, terminate_us)
    with pytest.raises(psycopg.OperationalError) as caught:
        ingest(place.name)
    assert "When Postgres is" in as_database_error(caught.value).todo
    resumes(place, expected)


def test_a_statement_that_takes_too_long_is_said_and_resumes(
    undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, expected = undisturbed
    with session() as beside, beside.transaction(force_rollback=True):
        beside.execute("select from core.items where external_id = '2' for update")
        monkeypatch.setenv("INGEST_STATEMENT_SECONDS", "1")
        settings.cache_clear()
        with pytest.raises(psycopg.errors.QueryCanceled) as caught:
            ingest(place.name)
    told = as_database_error(caught.value)
    assert told.where["sqlstate"] == "57014"
    assert "it took longer than INGEST_STATEMENT_SECONDS" in told.todo
    monkeypatch.delenv("INGEST_STATEMENT_SECONDS")
    settings.cache_clear()
    resumes(place, expected)


def test_a_transaction_that_sat_idle_too_long_resumes(
    undisturbed: Undisturbed, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, expected = undisturbed
    monkeypatch.setenv("INGEST_IDLE_TRANSACTION_SECONDS", "1")
    settings.cache_clear()
    at("batch_staged", lambda: time.sleep(2.5))
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        ingest(place.name)
    monkeypatch.delenv("INGEST_IDLE_TRANSACTION_SECONDS")
    settings.cache_clear()
    resumes(place, expected)


def test_a_deadlock_is_tried_again_by_itself(undisturbed: Undisturbed, at: At, superuser: None) -> None:
    place, expected = undisturbed
    locked, asked = threading.Event(), threading.Event()

    def other() -> None:
        with session() as beside, beside.transaction(force_rollback=True):
            beside.execute("set local deadlock_timeout = '30s'")  # so that it is ours that Postgres gives up
            beside.execute("select from core.items where external_id = '3' and source_id = 2 for update")
            locked.set()
            asked.wait(10)
            beside.execute("select from core.items where external_id = '2' and source_id = 2 for update")

    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(other)
        locked.wait(10)
        at("batch_staged", asked.set)
        ingest(place.name)
        beside.result(10)
    assert items_of("test") == expected


# ── a server that goes down ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def own_server(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of a server that may be shut down under an ingest; INGEST_DATABASE_URL points to it."""
    folder = Path(tempfile.mkdtemp(prefix="ingest-down-"))
    url = embedded.ensure_running(folder)
    migrate(url)
    monkeypatch.setenv("INGEST_DATABASE_URL", url)
    settings.cache_clear()
    yield folder / "postgres"
    settings.cache_clear()
    embedded._stop(folder / "postgres")  # pyright: ignore[reportPrivateUsage]
    shutil.rmtree(folder, ignore_errors=True)


def down_and_up(data: Path) -> None:
    """`pg_ctl restart -m immediate`: as a power cut, then crash recovery."""
    embedded._run(data, "pg_ctl", "stop", "-w", "-m", "immediate")  # pyright: ignore[reportPrivateUsage]
    embedded._serve(data)  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def places(own_server: Path, tmp_path: Path) -> Place:
    """A branch on the server of the test."""
    place = Place("places", tmp_path / "places.csv")
    place.holds(FIRST)
    with session() as connection:
        registry.apply_branch(connection, spec_of(place.file))
    return place


@pytest.mark.parametrize("point", ["part_listed", "batch_inserted", "requests_derived"])
def test_a_server_that_goes_down_at_once_and_comes_back_has_lost_nothing(
    places: Place, own_server: Path, at: At, point: str
) -> None:
    at(point, lambda: down_and_up(own_server))
    with pytest.raises((psycopg.OperationalError, DatabaseUnreachable)):
        ingest(places.name)
    ingest(places.name)
    found = settled()
    assert len(found["items"]) == 9
    assert [one["state"] for one in found["activations"]] == ["done"]
    assert len(found["requests"]) == 9


# ── many at once ────────────────────────────────────────────────────────────────────────────────────────────


def test_eight_branches_into_one_table_at_once_lose_nothing(branch: Callable[..., Place], tmp_path: Path) -> None:
    places = [branch(FIRST, name=f"branch-{number}", source="shared", priority=number) for number in range(8)]
    rows = [[(f"{number}-{at}", *FIRST[0][1:]) for at in range(40)] for number in range(8)]
    common = [(f"common-{at}", *FIRST[0][1:]) for at in range(20)]
    for place, own in zip(places, rows, strict=True):
        write_csv(place.file, [*own, *common])
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda place: ingest(place.name, 16, run_id=place.name), places))
    assert {one.state for one in done} == {"done"}
    with session() as connection:
        found = connection.execute(
            "select external_id, b.name from core.items join ingest.branches b using (branch_id)"
        )
        owners = dict(found.fetchall())
    assert owners == {
        **{key: f"branch-{number}" for number in range(8) for key, *_ in rows[number]},
        **{key: "branch-7" for key, *_ in common},
    }, "of equal time, the greatest priority has it"
    for one in done:
        assert one.valid == sum(
            getattr(one, name) or 0 for name in ("inserted", "updated", "touched", "unchanged", "stale")
        )


def test_no_session_left_is_said_with_where(own_server: Path) -> None:
    with session() as owner:
        role, name = "crowded", sql.Identifier("crowded")
        owner.execute(sql.SQL("create role {} login connection limit 0").format(name))
        url = f"{settings().database_url.get_secret_value()}".replace("//", f"//{role}@", 1)  # pyright: ignore[reportOptionalMemberAccess]
        url = url.replace(f"{role}@postgres@", f"{role}@").replace(f"{role}@postgres:@", f"{role}@")
        with pytest.raises(DatabaseUnreachable, match="too many connections for role"):
            connect(url)


# ── a wire that carries nothing ─────────────────────────────────────────────────────────────────────────────


def test_a_run_whose_connection_stalls_is_passed_over_and_fenced(
    branch: Callable[..., Place], fresh_database: str, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch(FIRST)
    monkeypatch.setenv("INGEST_LEASE_SECONDS", "1")
    monkeypatch.setattr(leases, "_beat", lambda *_: None)  # heartbeats stall with the wire
    with ThreadPoolExecutor(1) as pool, proxied(fresh_database) as wire:
        monkeypatch.setenv("INGEST_DATABASE_URL", wire.url)
        settings.cache_clear()
        stalled = threading.Event()

        def stall() -> None:
            wire.stall()
            stalled.set()

        at("batch_open", stall)
        first = pool.submit(ingest, place.name, run_id="stalled")
        assert stalled.wait(30)
        monkeypatch.setenv("INGEST_DATABASE_URL", fresh_database)
        settings.cache_clear()
        time.sleep(1.5)
        ingest(place.name, run_id="passed over")
        before = settled()
        wire.flow()
        with pytest.raises((psycopg.OperationalError, IngestError)):
            first.result(60)
        assert settled() == before


# ── no room ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder with room for a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = Path(tempfile.mkdtemp(prefix="ingest-small-"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        folder.rmdir()
        pytest.skip(f"no small disk can be mounted here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=False)
    folder.rmdir()


def test_a_full_disk_is_said_and_with_room_it_goes_on(places: Place, own_server: Path, small_disk: Path) -> None:
    owner = own_server.stat()
    (small_disk / "space").mkdir()
    os.chown(small_disk / "space", owner.st_uid, owner.st_gid)
    small_disk.chmod(0o755)
    wide = [(str(at), "n" * 400, "Rome", "IT", "41.9", "12.5", "", "c" * 600) for at in range(20_000)]
    places.holds(wide)
    with session() as connection:
        connection.execute(sql.SQL("create tablespace small location {}").format(str(small_disk / "space")))
        connection.execute("alter table core.items set tablespace small")
    with pytest.raises(psycopg.errors.DiskFull) as caught:
        ingest(places.name, 5_000)
    told = as_database_error(caught.value)
    assert (told.where["sqlstate"], told.todo[:9]) == ("53100", "Make room")
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    ingest(places.name, 5_000)
    with session() as connection:
        assert connection.execute("select count(*) from core.items").fetchone() == (20_000,)
        connection.execute("alter table core.items set tablespace pg_default")
        connection.execute("drop tablespace small")
