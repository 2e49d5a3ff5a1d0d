"""Writers made to meet: the second runs, or waits for a lock, while the first stands at a named point."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ingest_project import failpoints
from ingest_project.postgres.connection import session

PATIENCE = 30.0


class Meeting:
    """Runs `first` in this thread; when it gets to `point`, starts `second` and goes on once that ends or waits."""

    def __init__(self, url: str, point: str, second: Callable[[], Any], second_pid: int) -> None:
        self.url, self.point, self.second_pid = url, point, second_pid
        self.met = False
        self.second_waited = False
        self._errors: list[BaseException] = []
        self._me = threading.current_thread()
        self._thread = threading.Thread(target=self._run, args=(second,), daemon=True)

    def _run(self, second: Callable[[], Any]) -> None:
        try:
            second()
        except BaseException as error:  # handed to the test's own thread
            self._errors.append(error)

    def reach(self, name: str) -> None:
        """Stand in for failpoints.reach."""
        if self.met or name != self.point or threading.current_thread() is not self._me:
            return
        self.met = True
        self._thread.start()
        self.let_go_on()

    def let_go_on(self) -> None:
        """Return when the second has ended, or stands before a lock."""
        until = time.monotonic() + PATIENCE
        with session(self.url) as watching:
            while self._thread.is_alive():
                waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
                row = watching.execute(waits, (self.second_pid,)).fetchone()
                if row and row[0]:
                    self.second_waited = True
                    return
                assert time.monotonic() < until, "the second neither ends nor waits"
                time.sleep(0.005)

    def run(self, patch: pytest.MonkeyPatch, first: Callable[[], Any]) -> None:
        """Run both to their ends; what either raised is raised here."""
        patch.setattr(failpoints, "reach", self.reach)
        first()
        self.end()

    def end(self) -> None:
        """Wait for the second's end; what it raised is raised here."""
        assert self.met, f"the first never came to {self.point}"
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the second still waits after the first has ended"
        for error in self._errors:
            raise error


def meet_in_turn(patch: pytest.MonkeyPatch, first: Callable[[], Any], meetings: Sequence[Meeting]) -> None:
    """As `Meeting.run`, where the first meets several others, one after the other."""

    def reach(name: str) -> None:
        upcoming = next((meeting for meeting in meetings if not meeting.met), None)
        if upcoming:
            upcoming.reach(name)

    patch.setattr(failpoints, "reach", reach)
    first()
    for meeting in meetings:
        meeting.end()
