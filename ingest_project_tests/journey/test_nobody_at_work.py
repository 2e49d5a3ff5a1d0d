"""`ingest status` at night: whether anybody starts what waits, and when the chores were last done."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from ingest_project.postgres.connection import session
from ingest_project.postgres.pulses import beat
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
                "insert into ingest.pulses (what, at) values ('daemon', now() - %s::interval)", (heard,)
            )
        waits(known)

    (found,) = standing(waiting)["findings"]
    assert found["do"] == said or found["do"].startswith(said)
    if said:
        assert_commands_exist([found["do"]])
        assert said in command("status").out


def test_who_works_by_itself_is_told_with_when_it_was_heard_of(
    known: Known, standing: Callable[[State], dict[str, Any]], command: Command
) -> None:
    def heard(known: Known) -> None:
        known.connection.execute("delete from ingest.pulses")
        known.connection.execute("insert into ingest.pulses (what, at) values ('prune', now() - interval '3 hours')")

    standing(heard)
    last = command("status").out.splitlines()[-1]
    assert last == "last at work: daemon never, prune 3 hours ago, reconcile never; `ingest dev` starts the daemon"
    with session() as connection:
        beat(connection, "daemon")
    last = command("status").out.splitlines()[-1]
    assert re.fullmatch(r"last at work: daemon \d+ s ago, prune 3 hours ago, reconcile never", last)
