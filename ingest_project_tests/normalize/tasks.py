"""What workers are given in tests; they import this module, so it imports next to nothing."""

import os
import signal
import sys
import time

from ingest_project.errors import PartDamaged


def slow_if_first(number: int) -> tuple[int, int]:
    time.sleep(0.5 if number == 0 else 0)
    return number, os.getpid()


def refuse(number: int) -> int:
    if number == 1:
        raise PartDamaged("not what was written", where={"part": number})
    return number


def fail_strangely(number: int) -> int:
    class Local(Exception):
        pass

    raise Local(f"task {number}")


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def modules(prefix: str, function: object) -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] == prefix]
