"""`ingest status` at night: whether anybody starts what waits, and when the chores were last done."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from ingest_project.postgres.connection import session
from ingest_project.postgres.pulses import Worker, beat
from ingest_project_tests.journey.test_status import (
    Command,
    Known,
    State,
    asked_for,
    assert_commands_exist,
    known,
    left_in_the_middle,
    standing,
)

__all__ = ["known", "standing"]


@pytest.mark.parametrize("waits", [asked_for, left_in_the_middle, lambda it: it.item("p")])
@pytest.mark.parametrize(
    ("heard", "said"),
    [
        (None, "nobody is at work, the daemon was never heard of: `ingest dev` starts it"),
        ("3 hours", "nobody is at work, the daemon was last heard of 3 hours ago: `ingest dev` starts it"),
        ("5 seconds", None),
    ],
)
def test_where_something_waits_and_no_daemon_is_alive_it_is_said(
    waits: State, heard: str | None, said: str | None, standing: Callable[[State], dict[str, Any]], command: Command
) -> None:
    def waiting(known: Known) -> None:
        known.connection.execute("delete from ingest.pulses")
        if heard:
            known.connection.execute(
                "insert into ingest.pulses (what, at) select * from unnest(array['daemon', 'embedding']),"
                " (select now() - %s::interval) a",
                (heard,),
            )
        waits(known)

    (found,) = standing(waiting)["findings"]
    assert found["do"] == said or found["do"].startswith(said)
    if said:
        assert_commands_exist([found["do"]])
        assert said in command("status").out


@pytest.mark.parametrize(
    ("waits", "ticks", "off"),
    [
        (asked_for, "embedding", "branch_activation"),
        (left_in_the_middle, "embedding", "branch_activation"),
        (lambda it: it.item("p"), "daemon", "embedding_backlog"),
    ],
)
def test_a_sensor_that_is_switched_off_is_named(
    waits: State, ticks: Worker, off: str, standing: Callable[[State], dict[str, Any]], command: Command
) -> None:
    def waiting(known: Known) -> None:
        known.connection.execute("delete from ingest.pulses")
        beat(known.connection, ticks)
        waits(known)

    (found,) = standing(waiting)["findings"]
    assert found["do"] == f"the sensor {off} does not tick: is it on (Dagster's UI, Automation)? Or run it once"
    assert found["do"] in command("status").out
    assert "`ingest dev` starts the daemon" not in command("status").out


def test_who_works_by_itself_is_told_with_when_it_was_heard_of(
    known: Known, standing: Callable[[State], dict[str, Any]], command: Command
) -> None:
    def heard(known: Known) -> None:
        known.connection.execute("delete from ingest.pulses")
        known.connection.execute("insert into ingest.pulses (what, at) values ('prune', now() - interval '3 hours')")

    standing(heard)
    last = command("status").out.splitlines()[-1]
    assert last == (
        "last at work: daemon never, embedding never, prune 3 hours ago, reconcile never;"
        " `ingest dev` starts the daemon"
    )
    with session() as connection:
        beat(connection, "daemon")
    last = command("status").out.splitlines()[-1]
    assert re.fullmatch(r"last at work: daemon \d+ s ago, embedding never, prune 3 hours ago, reconcile never", last)
