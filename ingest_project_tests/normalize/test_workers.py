"""Workers: results in order, errors as they were, nobody left behind, and never Dagster."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from ingest_project.defs.parts import apply_to_table, normalize_frame
from ingest_project.errors import IngestError, PartDamaged
from ingest_project.normalize import workers
from ingest_project.normalize.workers import Pool, process_pool
from ingest_project.settings import settings
from ingest_project_tests.normalize.pages import page, spec
from ingest_project_tests.normalize.tasks import die, fail_strangely, modules, refuse, slow_if_first


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_WORKERS", "2")
    settings.cache_clear()


def children() -> set[int]:
    return {one.pid for one in psutil.Process().children() if "workers import serve" in " ".join(one.cmdline())}


@pytest.fixture
def nobody_stays() -> Iterator[None]:
    """Ends with the workers that were there before."""
    before = children()
    yield
    assert children() == before


@pytest.fixture(scope="module")
def team() -> Iterator[Pool]:
    """Two workers that several tests share."""
    shared = workers._Processes(2)  # pyright: ignore[reportPrivateUsage]
    yield shared
    shared.end()


def test_results_come_in_the_order_of_the_tasks_from_two_processes(team: Pool) -> None:
    found = list(team.map(slow_if_first, range(9)))
    assert [number for number, _ in found] == list(range(9))
    assert len({process for _, process in found} - {os.getpid()}) == 2


def test_nobody_runs_far_ahead_of_a_slow_part(team: Pool) -> None:
    drawn: list[int] = []
    results = team.map(slow_if_first, (drawn.append(number) or number for number in range(99)))
    next(results)
    assert len(drawn) <= 5  # bounded memory: not all of the other 98 were done meanwhile
    assert len(list(results)) == 98


def test_a_crew_does_one_list_after_another(team: Pool) -> None:
    assert list(team.map(refuse, [2, 3])) == [2, 3]
    assert list(team.map(abs, [-4])) == [4]
    assert list(team.map(abs, [])) == []


def test_an_error_of_a_task_is_raised_as_it_was_when_its_turn_comes(two: None, nobody_stays: None) -> None:
    with process_pool(1, 3, refuse) as team:
        results = team.map(refuse, range(3))
        assert next(results) == 0
        with pytest.raises(PartDamaged, match="not what was written") as raised:
            next(results)
    assert (raised.value.where, raised.value.todo) == ({"part": 1}, PartDamaged.default_todo)


def test_a_worker_that_is_killed_is_an_error_that_says_what_to_do(two: None, nobody_stays: None) -> None:
    with process_pool(1, 3, die) as team, pytest.raises(IngestError, match="exit code -9") as raised:
        list(team.map(die, range(3)))
    assert "INGEST_WORKERS=1" in raised.value.todo


def test_an_error_that_cannot_travel_is_told(two: None) -> None:
    with process_pool(1, 2, fail_strangely) as team, pytest.raises(RuntimeError, match="Local: task 0"):
        list(team.map(fail_strangely, range(2)))


def test_an_interrupt_ends_the_workers_at_once(two: None, nobody_stays: None) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), process_pool(1, 2, time.sleep) as team:
        for _ in team.map(time.sleep, [0, 600]):
            raise KeyboardInterrupt
    assert time.monotonic() - began < 300


ORPHANS = """
import sys, time
from ingest_project.normalize.workers import Pool, process_pool
with process_pool(1, 2, time.sleep) as team:
    print(*(worker.process.pid for worker in team._workers), flush=True)
    list(team.map(time.sleep, [{seconds}, {seconds}]))
"""


@pytest.mark.parametrize("seconds", [0.5])
def test_a_parent_killed_leaves_no_worker_behind(two: None, seconds: float) -> None:
    command = [sys.executable, "-c", ORPHANS.format(seconds=seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        found = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(found) == 2
    _, alive = psutil.wait_procs(found, timeout=120)
    assert alive == []


def test_workers_never_import_dagster(two: None) -> None:
    rule = partial(apply_to_table, partial(normalize_frame, spec=spec()))
    with process_pool(1, 2, rule) as team:
        made = next(team.map(rule, [page({"external_id": ["a"], "name": [" n "]})] * 2))
        assert made.items["name"].to_pylist() == ["n"]
        assert next(team.map(partial(modules, "dagster"), [rule])) == []
        assert next(team.map(partial(modules, "pandas"), [rule])) != []


@pytest.mark.parametrize(("workers_set", "rows", "tasks"), [(None, 10, 2), ("1", 10**9, 2), ("2", 10**9, 1)])
def test_little_work_is_done_here(
    monkeypatch: pytest.MonkeyPatch, workers_set: str | None, rows: int, tasks: int
) -> None:
    if workers_set:
        monkeypatch.setenv("INGEST_WORKERS", workers_set)
    settings.cache_clear()
    with process_pool(rows, tasks, slow_if_first) as team:
        assert {process for _, process in team.map(slow_if_first, range(1, 4))} == {os.getpid()}


def test_a_rule_that_cannot_be_sent_is_applied_here(two: None) -> None:
    here: list[int] = []
    with process_pool(10**9, 9, lambda number: number) as team:
        assert list(team.map(lambda number: here.append(number) or number, range(3))) == [0, 1, 2]
    assert here == [0, 1, 2]


def test_much_work_is_done_by_as_many_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_cores", lambda: 2)
    with process_pool(workers.MIN_ROWS, 9, slow_if_first) as team:
        assert os.getpid() not in {process for _, process in team.map(slow_if_first, range(1, 4))}


def test_workers_are_no_prey_of_files_where_the_command_stands(
    two: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyarrow.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    with process_pool(1, 2, refuse) as team:
        assert list(team.map(refuse, [0, 2])) == [0, 2]
