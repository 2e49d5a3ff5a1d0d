"""Threads ahead: results in order, bounded, errors when their turn comes, nothing begun after the end."""

import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from ingest_project.errors import PartDamaged, SourceMoved
from ingest_project.telemetry import correlated, correlation_id
from ingest_project.threads import threads


def slow_if_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0)
    return number


def refuse_one(number: int) -> int:
    if number == 1:
        raise PartDamaged("not what was written", where={"part": number})
    return number


def test_results_come_in_the_order_of_the_tasks_from_several_threads() -> None:
    met = threading.Barrier(2, timeout=30)  # each waits for the other: both are at work at once

    def meet(number: int) -> int:
        met.wait()
        return number

    with threads(2, ahead=2) as ours:
        assert list(ours.map(meet, range(10))) == list(range(10))
        assert list(ours.map(slow_if_first, range(5))) == list(range(5))


@pytest.mark.parametrize("ahead", [1, 2])
def test_no_more_is_drawn_than_may_be_ahead(ahead: int) -> None:
    drawn: list[int] = []
    with threads(2, ahead=ahead) as ours:
        results = ours.map(abs, (drawn.append(number) or number for number in range(50)))
        for number in range(10):
            assert next(results) == number
            assert len(drawn) == number + 1 + ahead


def test_one_list_is_drawn_from_another_by_the_same_threads() -> None:
    with threads(1, ahead=3) as ours:
        assert list(ours.map(abs, ours.map(slow_if_first, range(20)))) == list(range(20))


def test_an_error_of_a_task_is_raised_as_it_was_when_its_turn_comes() -> None:
    with threads(2, ahead=2) as ours:
        results = ours.map(refuse_one, range(9))
        assert next(results) == 0
        with pytest.raises(PartDamaged, match="not what was written") as raised:
            next(results)
        assert raised.value.where == {"part": 1}
        assert list(results) == []


def test_an_error_in_drawing_comes_behind_the_results_of_what_was_drawn() -> None:
    def drawn() -> Iterator[int]:
        yield from range(3)
        raise SourceMoved("is gone")

    taken: list[int] = []
    with threads(2, ahead=5) as ours, pytest.raises(SourceMoved, match="is gone"):
        for number in ours.map(slow_if_first, drawn()):
            taken.append(number)
    assert taken == [0, 1, 2]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_waits_for_what_is_in_hand_and_begins_nothing(interrupt: type[BaseException]) -> None:
    begun: list[int] = []
    ended: list[int] = []
    go_on = threading.Event()

    def held(number: int) -> int:
        begun.append(number)
        if number:
            go_on.wait(30)
        ended.append(number)
        return number

    with pytest.raises(interrupt), threads(1, ahead=4) as ours:
        for _ in ours.map(held, range(9)):
            threading.Timer(0.1, go_on.set).start()
            raise interrupt
    assert begun == ended
    assert len(begun) <= 2
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


def test_an_interrupt_while_tasks_are_drawn_is_raised_at_once() -> None:
    def drawn() -> Iterator[int]:
        yield 0
        raise KeyboardInterrupt

    with threads(1, ahead=2) as ours, pytest.raises(KeyboardInterrupt):
        next(ours.map(abs, drawn()))


def test_lines_of_threads_carry_the_ids_of_the_run() -> None:
    with correlated("run-7"), threads(2, ahead=1) as ours:
        assert list(ours.map(lambda _: correlation_id(), range(3))) == ["run-7"] * 3


# Eight threads at once, each with memory in hand that it asked for itself; then glibc tells of its heaps.
HEAPS = """
import ctypes, sys, threading
if sys.argv[1:]: import ingest_project
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
met = threading.Barrier(8)
def ask():
    met.wait()
    libc.malloc(ctypes.c_size_t(100))
    met.wait()
asking = [threading.Thread(target=ask) for _ in range(8)]
[one.start() for one in asking]
[one.join() for one in asking]
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(*words: str) -> int:
    command = [sys.executable, "-c", HEAPS, *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives threads heaps of their own")
def test_threads_share_two_heaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert heaps("ours") == 2 < heaps()
