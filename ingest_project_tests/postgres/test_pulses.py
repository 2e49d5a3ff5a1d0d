"""Who works by itself says so, and is taken for gone once it is silent."""

from datetime import timedelta

import pytest

from ingest_project.postgres.connection import Connection
from ingest_project.postgres.pulses import WORKERS, beat, is_alive, pulses


def test_a_pulse_is_as_old_as_the_last_time(connection: Connection) -> None:
    connection.execute("delete from ingest.pulses")
    assert pulses(connection) == {}
    beat(connection, "daemon")
    connection.execute("update ingest.pulses set at = now() - interval '2 hours'")
    beat(connection, "prune")
    assert pulses(connection) == {"daemon": timedelta(hours=2), "prune": timedelta(0)}
    for worker in WORKERS:
        beat(connection, worker)
    assert pulses(connection) == dict.fromkeys(WORKERS, timedelta(0))


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (119, True), (120, False), (None, False)])
def test_who_is_silent_for_two_minutes_is_gone(seconds: int | None, alive: bool) -> None:
    assert is_alive(None if seconds is None else timedelta(seconds=seconds)) is alive
