"""From our errors to what Dagster shows: what happened, where, and what to do; and what is tried again."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest

from ingest_project import errors, failpoints
from ingest_project.branches import activations
from ingest_project.branches.registry import get_branch
from ingest_project.branches.work import Work
from ingest_project.defs.failures import FINAL, as_database_error, explained
from ingest_project.errors import IngestError
from ingest_project.postgres import leases
from ingest_project.postgres.connection import connect, session
from ingest_project.settings import settings
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, SNAPSHOT, Line


def all_of(kind: type[IngestError]) -> Iterator[type[IngestError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from all_of(one)


ERRORS = sorted({one for one in all_of(IngestError) if one.__module__ == errors.__name__}, key=lambda one: one.__name__)
FINAL_BY_NAME = {
    "Locked",
    "Fenced",
    "Interrupted",
    "UsageError",
    "PartDamaged",
    "Unexpected",
    "ProviderUnusable",
    "VectorsMissing",
}
ONCE = (
    FINAL_BY_NAME
    | {"SpecInvalid", "BranchUnknown", "ActivationUnknown", "TableUnfit", "ModelUnknown"}
    | {one.__name__ for one in all_of(errors.Refused)}
)


def failure_of(error: Exception, work: Work | None = None) -> dg.Failure:
    with pytest.raises(dg.Failure) as caught, explained(None, work):
        raise error
    assert caught.value.__cause__ is not None
    return caught.value


def told(failure: dg.Failure) -> dict[str, Any]:
    return {key: value.value for key, value in failure.metadata.items()}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_each_error_says_what_where_and_what_to_do(kind: type[IngestError]) -> None:
    failure = failure_of(kind("it broke", where={"branch": "b", "row": 7}, todo="Mend it."))
    assert str(failure.description).splitlines() == ["it broke", "  where: branch b, row 7", "  do:    Mend it."]
    assert told(failure) == {
        **{"error": kind.__name__, "exit_code": kind.exit_code, "what": "it broke", "do": "Mend it."},
        **{"where/branch": "b", "where/row": "7"},
    }
    assert failure.allow_retries is (kind.__name__ not in ONCE)


def test_each_error_has_words_of_its_own() -> None:
    assert len(ERRORS) >= 20
    for kind in ERRORS:
        shown = told(failure_of(kind()))
        assert shown["what"]
        assert shown["do"], kind
    assert {one.__name__ for one in FINAL} == {*FINAL_BY_NAME, "Refused"}


def test_an_exception_of_nobodys_is_named_and_not_tried_again() -> None:
    failure = failure_of(ZeroDivisionError("by nothing\nand more"))
    assert told(failure)["error"] == "Unexpected"
    assert told(failure)["what"] == "ZeroDivisionError: by nothing"
    assert not failure.allow_retries


def test_a_full_disk_is_said_with_its_file_and_tried_again() -> None:
    failure = failure_of(OSError(28, "No space left on device", "/parts/7"))
    assert told(failure)["what"] == "No space left on device"
    assert told(failure)["where/file"] == "/parts/7"
    assert failure.allow_retries


@pytest.fixture
def work(line: Callable[..., Line]) -> Iterator[Work]:
    """A run in its middle."""
    place = line()
    with session() as connection:
        branch = get_branch(connection, place.name)
        lease = leases.acquire(connection, branch.branch_id, branch.name, holder="run", run_id="run")
        made = activations.create(connection, branch.branch_id, holder="run", plan_only=False)
        yield Work(connection, lease, branch, made)


def kept(work: Work) -> dict[str, Any] | None:
    with session() as connection:
        return activations.get(connection, work.branch.branch_id, work.activation.activation_id).error


def test_the_error_is_kept_with_the_activation_for_status(work: Work) -> None:
    failure = failure_of(errors.PartDamaged("part 3 is gone", where={"part": 3}), work)
    assert told(failure)["where/branch"] == work.branch.name
    assert told(failure)["where/activation"] == str(work.activation.activation_id)
    found = kept(work)
    assert found is not None
    assert (found["code"], found["what"]) == ("PartDamaged", "part 3 is gone")
    assert found["where"] == {**{key: str(value) for key, value in work.where.items()}, "part": "3"}


@pytest.mark.parametrize("error", [errors.GateBlocked(), errors.SourceMissing(), errors.Fenced()])
def test_what_is_not_ours_to_write_is_left_as_it_is(work: Work, error: IngestError) -> None:
    failure_of(error, work)
    assert kept(work) is None


def test_who_lost_the_branch_meanwhile_writes_no_error_and_still_says_it(work: Work) -> None:
    with session() as connection:
        leases.acquire(connection, work.branch.branch_id, "", holder="run", run_id="retry")
    assert told(failure_of(errors.PartDamaged("part 3 is gone"), work))["what"] == "part 3 is gone"
    assert kept(work) is None


def test_a_server_that_takes_no_writes_any_more_is_told_as_such(work: Work) -> None:
    work.connection.execute("set default_transaction_read_only = on")
    with pytest.raises(dg.Failure) as caught, explained(None, work):
        work.connection.execute("create table it_is (not_made int)")
    assert told(caught.value)["error"] == "DatabaseReadOnly"
    assert "target_session_attrs=read-write" in str(told(caught.value)["do"])
    assert caught.value.allow_retries, "the primary may come back"


def test_an_error_of_postgres_is_said_in_our_words(work: Work) -> None:
    with pytest.raises(dg.Failure) as caught, explained(None, work):
        work.connection.execute("select 1 / 0")
    shown = told(caught.value)
    assert (shown["error"], shown["exit_code"], shown["where/sqlstate"]) == ("DatabaseError", 1, "22012")
    assert "division by zero" in shown["what"]
    assert len(str(caught.value.description).splitlines()) == 3
    assert caught.value.allow_retries
    assert (kept(work) or {})["code"] == "DatabaseError"


def test_values_of_rows_stay_out_of_an_error(work: Work) -> None:
    with pytest.raises(dg.Failure) as caught, explained(None, work), work.transaction() as connection:
        connection.execute("create temp table t (name text primary key)")
        connection.execute("insert into t values ('Jane Doe'), ('Jane Doe')")
    assert "duplicate key" in str(caught.value.description)
    assert "Jane Doe" not in str(caught.value.description)


def test_a_lost_connection_is_a_lost_connection(work: Work) -> None:
    with session() as other:
        other.execute("select pg_terminate_backend(%s)", (work.connection.info.backend_pid,))
    for _ in range(2):  # found out, and met again
        with pytest.raises(dg.Failure) as caught, explained(None, work):
            work.connection.execute("select 1")
        assert len(str(caught.value.description).splitlines()) == 3
        assert caught.value.allow_retries
    assert told(caught.value)["error"] == "DatabaseUnreachable"
    assert "resumes" in told(caught.value)["do"]
    assert (kept(work) or {})["code"] == "DatabaseUnreachable", "in a session of its own"


def test_an_error_without_words_is_still_an_error() -> None:
    assert as_database_error(psycopg.DatabaseError()).what.startswith("Postgres refused a statement")
    assert "pg_blocking_pids says which" in as_database_error(psycopg.errors.LockNotAvailable()).todo
    lost = as_database_error(psycopg.OperationalError())
    assert (type(lost).__name__, lost.what) == (
        "DatabaseUnreachable",
        "the connection to Postgres was lost: no answer",
    )


# ── in a run ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_run_is_not_tried_again_and_says_why(line: Callable[..., Line]) -> None:
    place = line()
    place.file.unlink()
    run = place.run()
    assert (run.failed_step, run.retries) == (SNAPSHOT, 0)
    assert (run.told["error"], run.told["exit_code"]) == ("SourceMissing", 4)
    assert run.told["where/branch"] == place.name
    assert place.states == ["refused"]
    assert place.activations[0]["error"]["code"] == "SourceMissing"


def test_a_branch_that_is_not_registered_is_a_usage_error(line: Callable[..., Line]) -> None:
    place = line()
    place.ask("delete from ingest.branches where branch_id = %(branch_id)s returning branch_id")
    run = place.run()
    assert (run.told["error"], run.told["exit_code"], run.retries) == ("BranchUnknown", 2, 0)


def test_a_session_that_postgres_ends_is_replaced_and_the_step_goes_on(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    ended: list[bool] = []

    def end_once(name: str) -> None:
        if name == "batch_committed" and not ended:
            ended.append(True)  # at once: two writers get here
            with session() as connection:
                mine = connection.execute(
                    """select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database()
                          and pid <> pg_backend_pid() and application_name like 'ingest/%'"""
                ).fetchall()
            assert mine

    monkeypatch.setattr(failpoints, "reach", end_once)
    run = place.run()
    assert (run.success, run.retries, ended) == (True, 1, [True])
    assert (place.states, len(place.items)) == (["done"], 9)
    assert place.activations[0]["error"] is None, "it did not stop there"
    assert place.holder is None


@pytest.mark.parametrize("nth", [0, 2])
@pytest.mark.parametrize("asset", [SNAPSHOT, NORMALIZED])
def test_a_part_that_is_gone_ends_its_activation_and_the_next_run_reads_anew(
    line: Callable[..., Line], asset: str, nth: int
) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED)
    part = [path for listed, path in place.parts if listed == asset][nth]
    if asset == SNAPSHOT:
        unnormalize(place)
    (settings().home / "parts" / part).resolve().unlink()
    run = place.run()
    assert run.told["error"] == "PartDamaged"
    assert len(str(run.failure.description).splitlines()) == 3
    assert (run.retries, place.activations[0]["state"]) == (0, "failed")
    assert place.activations[0]["error"]["code"] == "PartDamaged"
    assert place.run().success
    assert place.states == ["failed", "done"]
    assert place.requests == len(place.items) == 9


def test_after_the_last_attempt_the_error_is_told_and_the_next_run_forgets_it(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
    place = line()
    with monkeypatch.context() as full:
        full.setattr(failpoints, "reach", full_disk)
        run = place.run()
    assert run.told["what"] == "No space left on device", "and not that there were enough attempts"
    assert run.retries == 2
    assert place.activations[0]["error"]["what"] == "No space left on device"
    assert place.run().success
    assert (place.states, place.activations[0]["error"]) == (["done"], None)


def full_disk(reached: str) -> None:
    if reached == "duplicates_decided":
        raise OSError(28, "No space left on device")


def unnormalize(place: Line) -> None:
    """As if the run had ended before its second step."""
    mine = "(select activation_id from ingest.activations where branch_id = %s)"
    with session() as connection:
        for table in ("ingest.parts where asset = 'normalized_items' and", "ingest.rejects where"):
            connection.execute(f"delete from {table} activation_id in {mine}", (place.branch_id,))
        connection.execute(
            """update ingest.activations set state = 'snapshotted', normalized_at = null, accepted_at = null,
                  rejected = null, valid = null, normalizer_version = null where branch_id = %s""",
            (place.branch_id,),
        )


def test_no_password_is_in_what_a_failed_run_says(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    place = line()
    for url in ("postgresql://me:hunter2@localhost:1/items", "host=localhost port=1 user=me password=hunter2"):
        monkeypatch.setenv("INGEST_DATABASE_URL", url)
        monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
        settings.cache_clear()
        try:
            run = place.run()
        finally:
            monkeypatch.undo()
            settings.cache_clear()
        assert (run.told["error"], run.failed_step) == ("DatabaseUnreachable", SNAPSHOT)
        assert "hunter2" not in run.text


def test_nothing_is_half_done_when_items_fail(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    place = line()

    def fail(name: str) -> None:
        if name == "batch_inserted":
            with connect() as connection:
                connection.execute("select 1 / 0")

    monkeypatch.setattr(failpoints, "reach", fail)
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
    run = place.run()
    assert (run.failed_step, run.retries) == (CORE, 2)
    assert (place.items, place.states) == ({}, ["accepted"])
