"""The lease of a run: taken by its first step, kept through the others, given back however the run ends."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from ingest_project import failpoints
from ingest_project.definitions import defs
from ingest_project.defs.sensors import release_leases
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.postgres.leases import Lease
from ingest_project.settings import settings
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, SNAPSHOT, Line

# The instant in the middle of each stage.
MIDDLES = {SNAPSHOT: "part_listed", NORMALIZED: "normalized_part_listed", CORE: "batch_inserted"}


def hold(place: Line, run_id: str, holder: str | None = None) -> Lease:
    """Take its lease for another run of this process, which is alive."""
    with session() as connection:
        return leases.acquire(connection, place.branch_id, place.name, holder=holder or run_id, run_id=run_id)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Call something the first time that a run gets to a failpoint; what it returned is in the list."""

    def watch(name: str, what: Callable[[], Any]) -> list[Any]:
        seen: list[Any] = []

        def reach(reached: str) -> None:
            if reached == name and not seen:
                seen.append(None)
                seen[0] = what()

        monkeypatch.setattr(failpoints, "reach", reach)
        return seen

    return watch


def interrupt() -> None:
    raise dg.DagsterExecutionInterruptedError


# ── given back ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("instant", [*MIDDLES.values(), "requests_derived"])
def test_it_is_held_in_each_step_and_free_after_the_run(
    line: Callable[..., Line], at: Callable[..., list[Any]], instant: str
) -> None:
    place = line()
    seen = at(instant, lambda: place.holder)
    run = place.run()
    assert (run.success, seen) == (True, [run.id])
    assert place.holder is None


def test_one_run_takes_it_once(line: Callable[..., Line]) -> None:
    place = line()
    for epoch in (1, 2):
        place.run()
        found = place.ask("select epoch from ingest.leases where branch_id = %(branch_id)s")
        assert found == [{"epoch": epoch}], "one epoch for all steps of a run"


def test_it_is_free_after_a_refusal(line: Callable[..., Line]) -> None:
    place = line(limits={"max_reject_ratio": 0.0})
    run = place.run()
    assert (run.told["error"], place.states, place.holder) == ("GateBlocked", ["blocked"], None)


@pytest.mark.parametrize("asset", MIDDLES)
def test_it_is_free_after_a_failure_and_the_next_run_goes_on(line: Callable[..., Line], asset: str) -> None:
    place = line()
    failpoints.arm(f"{MIDDLES[asset]}!")
    run = place.run()
    assert (run.success, run.failed_step, run.retries, place.holder) == (False, asset, 0, None)
    failpoints.arm("")
    assert place.run().success
    assert (place.states, len(place.items), place.requests) == (["done"], 9, 9)


@pytest.fixture
def one_writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The batch at hand is the only one."""
    monkeypatch.setenv("INGEST_WRITERS", "1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize("asset", MIDDLES)
def test_terminate_frees_it_and_leaves_what_can_be_resumed(
    line: Callable[..., Line], at: Callable[..., list[Any]], asset: str, one_writer: None
) -> None:
    place = line()
    at(MIDDLES[asset], interrupt)
    run = place.run()
    assert (run.success, run.failed_step, run.retries) == (False, asset, 0)
    assert (run.told["error"], run.told["exit_code"]) == ("Interrupted", 130)
    assert place.holder is None
    assert place.items == {}, "the batch at hand was undone"
    parts = place.parts
    again = place.run()
    assert again.success
    assert (place.states, len(place.items)) == (["done"], 9)
    assert set(parts) <= set(place.parts), "what was listed is used"
    assert again.tags["ingest/activation"] == run.tags["ingest/activation"]


# ── another run ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("selection", [(), (NORMALIZED,)])
def test_another_run_is_refused_at_once_and_told_by_whom(line: Callable[..., Line], selection: tuple[str, ...]) -> None:
    place = line()
    place.run(SNAPSHOT)
    hold(place, "the other run")
    run = place.run(*selection)
    told = run.told
    assert (told["error"], told["exit_code"], run.retries) == ("Locked", 3, 0)
    assert f"branch {place.name!r} is held by run the other run since " in told["what"]
    assert told["where/host"] == leases.this_host()
    assert place.holder == "the other run", "it was not taken away"
    assert place.states == ["snapshotted"]


def test_another_branch_is_not_held(line: Callable[..., Line]) -> None:
    held, free = line(), line()
    hold(held, "the other run")
    assert free.run().success


def ingest_job() -> dg.JobDefinition:
    """The job, as Dagster's re-execution asks for it."""
    return defs.resolve_job_def("ingest_branch")


def test_a_retry_of_the_same_root_run_takes_over(line: Callable[..., Line]) -> None:
    place = line()
    root = place.instance.create_run_for_job(ingest_job(), status=dg.DagsterRunStatus.STARTED)
    first = hold(place, root.run_id)
    with dg.execute_job(
        dg.reconstructable(ingest_job),
        instance=place.instance,
        tags={"dagster/partition": place.name},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        reexecution_options=dg.ReexecutionOptions(parent_run_id=root.run_id),
    ) as run:
        assert run.success
        assert run.run_id != root.run_id
    assert place.states == ["done"]
    assert place.activations[0]["claimed_by"] == root.run_id, "one name through all attempts"
    with session() as connection:
        assert not leases.renew(connection, first), "who was taken over finds out"
    assert place.holder is None


def test_a_run_that_dagster_saw_end_is_gone(line: Callable[..., Line]) -> None:
    place = line()
    ended = place.run()
    hold(place, ended.id)
    again = place.run()
    assert again.success
    assert place.holder is None


def test_the_run_that_was_taken_over_stops_and_is_not_tried_again(
    line: Callable[..., Line], at: Callable[..., list[Any]]
) -> None:
    place = line()

    def take_over() -> str:
        with session() as connection:
            expire = "update ingest.leases set expires_at = now() - interval '1 s' where branch_id = %s"
            connection.execute(expire, (place.branch_id,))
        return hold(place, "the other run").holder

    at("probed", take_over)
    run = place.run()
    assert (run.failed_step, run.told["error"], run.retries) == (CORE, "Fenced", 0)
    assert place.holder == "the other run", "it gives back only what is its own"
    assert place.items == {}
    assert place.activations[0]["error"] is None


# ── the sensor ─────────────────────────────────────────────────────────────────────────────────────────────


def tick(place: Line) -> str:
    result = release_leases(dg.build_sensor_context(instance=place.instance))
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def test_the_sensor_frees_what_an_ended_run_left_behind(line: Callable[..., Line]) -> None:
    place = line()
    ended = place.run()
    hold(place, ended.id)
    assert ended.id in tick(place)
    assert place.holder is None
    assert tick(place) == "every lease has a live run"


@pytest.mark.parametrize(
    ("status", "left"),
    [
        (dg.DagsterRunStatus.STARTED, True),
        (dg.DagsterRunStatus.CANCELING, True),
        (dg.DagsterRunStatus.FAILURE, False),
        (dg.DagsterRunStatus.CANCELED, False),
    ],
)
def test_the_sensor_goes_by_what_dagster_says_of_the_run(
    line: Callable[..., Line], status: dg.DagsterRunStatus, left: bool
) -> None:
    place = line()
    run = place.instance.create_run_for_job(release_job, status=status)
    lease = hold(place, run.run_id)
    tick(place)
    assert (place.holder == run.run_id) is left
    free(lease)


def free(lease: Lease) -> None:
    with session() as connection:
        leases.release(connection, lease)


def test_the_sensor_leaves_alone_whom_dagster_does_not_know(line: Callable[..., Line]) -> None:
    place = line()
    lease = hold(place, "a run of another instance")
    assert tick(place) == "every lease has a live run"
    assert place.holder == "a run of another instance"
    free(lease)


def test_the_sensor_leaves_alone_who_took_over_meanwhile(line: Callable[..., Line]) -> None:
    place = line()
    ended = place.run()
    hold(place, ended.id)
    with session() as connection:
        (found,) = [one for one in leases.held_leases(connection) if one.branch_id == place.branch_id]
        newer = hold(place, "retry", holder=ended.id)
        leases.release(connection, Lease(place.branch_id, "", "", "", found.epoch))
    tick(place)
    assert place.holder == "retry"
    free(newer)


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def release_job() -> None:
    """A run of anything: what counts is its status."""
    nothing()
