"""`ingest status`: each state that a branch can be in, its line, and a command that is there."""

import os
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import psutil
import pytest
from psycopg import sql

from ingest_project import cli
from ingest_project.branches import registry
from ingest_project.cli.branch_status import HEADINGS, ago
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import this_host
from ingest_project_tests.conftest import _pointed_at
from ingest_project_tests.journey.conftest import Ran, spec_of

Command = Callable[..., Ran]
State = Callable[["Known"], None]
TIMES = ("pinned_at", "snapshotted_at", "normalized_at", "accepted_at", "committed_at", "done_at")
COUNTS = {"rows_read": 10, "rejected": 1, "valid": 9, "inserted": 9, "updated": 0, "touched": 0, "unchanged": 0,
          "stale": 0, "requests": 9}  # fmt: skip
ERROR = '{"code": "SourceMissing", "what": "there is nothing at x.csv", "where": {}, "todo": "Put it back."}'


class Known:
    """A branch whose rows a test writes as a run that stopped there would have left them."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.branch = registry.get_branch(connection, name)

    def activation(self, state: str, *, times: int = 0, error: str | None = None, **columns: Any) -> int:
        """One activation; the first `times` of its timestamps are set."""
        given = {"branch_id": self.branch.branch_id, "state": state, "error": error, "pin": "{}", "spec": "{}"}
        given |= columns | dict.fromkeys(TIMES[:times], "now")
        if state in ("refused", "failed", "superseded", "rolled_back"):
            given["closed_at"] = "now"
        return self.insert("ingest.activations", given, "activation_id")

    def insert(self, table: str, given: dict[str, Any], returning: str) -> int:
        text = sql.SQL("insert into {} ({}) values ({}) returning {}").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, given)),
            sql.SQL(", ").join(map(sql.Placeholder, given)),
            sql.Identifier(returning),
        )
        row = self.connection.execute(text, given).fetchone()
        assert row is not None
        return row[0]

    def held(self, *, seconds: int, pid: int | None = None) -> None:
        """A lease that ends so many seconds from now, held by a process: this one, or one that is no more."""
        self.connection.execute(
            "insert into ingest.leases (branch_id, epoch, holder, run_id, host, pid, process_started, acquired_at, "
            "heartbeat_at, expires_at) values (%s, 1, 'r', 'abcdef0123', %s, %s, %s, now(), now() - interval '3 min', "
            "now() + make_interval(secs => %s))",
            (self.branch.branch_id, this_host(), pid or os.getpid(), psutil.Process().create_time(), seconds),
        )

    def part(self, activation: int, asset: str, part: int, rows: int) -> None:
        self.connection.execute(
            "insert into ingest.parts (activation_id, asset, part, epoch, path, rows, bytes, digest, run_id, "
            "written_at) values (%s, %s, %s, 1, 'x', %s, 1, 'x', 'r', now() - interval '7 min')",
            (activation, asset, part, rows),
        )

    def alert(self, event: str, **columns: Any) -> None:
        given = {"branch_id": self.branch.branch_id, "event": event, "code": "X", "what": "x", "todo": "x", **columns}
        self.insert("ingest.alerts", given, "branch_id")

    def item(self, request: str | None, **columns: Any) -> None:
        """An item of this branch and its embedding request in this state, if it has one."""
        given = {"source_id": self.branch.source_id, "external_id": uuid4().hex, "name": "x", "priority": 1, "part": 0}
        given |= {"content_hash": uuid4(), "embed_hash": uuid4(), "branch_id": self.branch.branch_id}
        number = self.insert("core.items", {**given, "activation_id": 1, "created_activation_id": 1}, "item_id")
        if request:
            leased = {"lease_id": uuid4(), "leased_until": columns.pop("until", "infinity")} if request == "l" else {}
            done = {"completed_at": "now"} if request == "d" else {}
            asked = {"model_id": 1, "item_id": number, "branch_id": self.branch.branch_id, "status": request}
            asked |= {"content_hash": given["embed_hash"], **leased, **done, **columns}
            self.insert("core.embedding_requests", asked, "item_id")


@pytest.fixture
def known(own_database: str, command: Command) -> Iterator[Known]:
    """A branch of the test's own, in a database where nobody works on what is left open."""
    name = f"state {uuid4().hex[:8]}"
    with _pointed_at(own_database):
        with session() as connection:
            registry.apply_branch(connection, spec_of(Path("x.csv"), name=name, source=name))
            made = Known(connection, name)
        yield made
        with session() as connection:
            connection.execute("delete from core.embedding_endpoints")


@pytest.fixture
def standing(known: Known, command: Command) -> Callable[[State], dict[str, Any]]:
    """What `ingest status NAME --json` says of the branch once a test has brought it into a state."""

    def bring(state: State) -> dict[str, Any]:
        with session() as known.connection:
            state(known)
        ran = command("status", known.name, "--json")
        assert ran.code == 0, ran.err
        return ran.json[0]

    return bring


def blocked(known: Known) -> None:
    number = known.activation("blocked", times=3, rows_read=10, rejected=1, valid=9, error=ERROR)
    given = {"activation_id": number, "code": "shrink_ratio", "measured": 0.4, "limit": 0.2, "what": "fewer rows"}
    known.insert("ingest.gates", given, "code")


def embedded_no_more(known: Known) -> None:
    known.item("d")
    known.connection.execute(
        "update ingest.branches set spec = jsonb_set(spec, '{embed}', 'false') where branch_id = %s",
        (known.branch.branch_id,),
    )


def half_undone(known: Known) -> None:
    undone = known.activation("rolled_back", times=6, **COUNTS)
    known.activation("accepted", times=4, kind="rollback", undoes=undone, rows_read=9, rejected=0, valid=9)


def planned(known: Known) -> None:
    known.activation("planned", times=4, plan_only=True, rows_read=10, rejected=1, valid=9, plan='{"saved": {"at": 1}}')


def paused(known: Known) -> None:
    known.item("p")
    known.connection.execute(
        "insert into core.embedding_endpoints (endpoint, failures, paused_until, reason) values ('builtin', 1, "
        "now() + interval '1 hour', 'asked too fast') on conflict (endpoint) do update set paused_until = "
        "excluded.paused_until, reason = excluded.reason"
    )


def asked_for(known: Known) -> None:
    known.activation("requested")


def left_in_the_middle(known: Known) -> None:
    known.activation("snapshotted", times=2, rows_read=10)


def done(known: Known) -> None:
    known.activation("done", times=6, **COUNTS)
    known.item("d")


CASES: dict[str, tuple[State, str, str, str, str]] = {
    # state: (how it comes to that, heading, state, what its line says, what to run)
    "never run": (lambda _: None, "", "", "", "ingest run NAME"),
    "quiet": (done, "", "", "", "nothing to do; ingest run NAME ingests the branch again"),
    "blocked": (blocked, "needs a hand", "blocked", "activation N: fewer rows: 40.0% with a limit of 20.0%",
                "ingest accept N shrink_ratio --why '...'"),
    "refused": (lambda it: it.activation("refused", error=ERROR) and None, "needs a hand", "refused",
                "activation N: SourceMissing: there is nothing at x.csv", "ingest run NAME"),
    "failed": (lambda it: it.activation("failed", error=ERROR) and None, "needs a hand", "failed",
               "SourceMissing", "ingest run NAME"),
    "stopped by an error": (lambda it: it.activation("pinned", times=1, error=ERROR) and None, "needs a hand",
                            "failed", "activation N: SourceMissing", "ingest run NAME"),
    "interrupted": (lambda it: it.activation("pinned", times=1, error=ERROR.replace("SourceMissing", "Interrupted"))
                    and None, "needs a hand", "interrupted", "activation N", "ingest run NAME"),
    "silent for too long": (lambda it: it.held(seconds=-5), "needs a hand", "stalled",
                            "run abcdef01 on HOST holds the branch and it is silent for longer than it may be: last "
                            "heard of 3 min ago", "ingest run NAME"),
    "process gone": (lambda it: it.held(seconds=60, pid=2**22 + 1), "needs a hand", "stalled",
                     "its process is gone", "ingest run NAME"),
    "half undone": (half_undone, "needs a hand", "half undone", "stopped half way", "ingest rollback UNDONE"),
    "dead requests": (lambda it: it.item("x", error_class="refused"), "needs a hand", "dead",
                      "1 embedding requests were given up by builtin/lexical-hashing: refused 1",
                      "ingest embed retry NAME"),
    "item without request": (lambda it: it.item(None), "needs a hand", "unreconciled",
                             "1 items have no embedding request", "ingest verify NAME --repair"),
    "embedded no more": (embedded_no_more, "", "", "", "ingest run NAME"),
    "asked for": (asked_for, "waiting", "requested", "has no run yet", "ingest run NAME"),
    "planned": (planned, "waiting", "planned", "nothing is written to core", "ingest run --plan N"),
    "left in the middle": (left_in_the_middle, "waiting", "open", "activation N stands at snapshotted",
                           "ingest run NAME"),
    "not embedded": (lambda it: it.item("p"), "waiting", "not embedded",
                     "1 items wait for their vector by builtin/lexical-hashing", "ingest embed run NAME"),
    "worker gone": (lambda it: it.item("l", until="-infinity"), "waiting", "not embedded",
                    "1 were claimed by a worker that is gone", "ingest embed run NAME"),
    "paused": (paused, "waiting", "paused", "left alone until", "ingest embed status NAME"),
    "untold": (lambda it: it.alert("refused"), "waiting", "untold",
               "that the branch was refused has not reached the webhook", "ingest run NAME"),
    "told": (lambda it: it.alert("refused", told_at="now"), "", "", "", "ingest run NAME"),
    "embedding": (lambda it: it.item("l"), "at work", "embedding", "0 of 1 items embedded",
                  "ingest embed status NAME"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_state_has_its_line_and_its_command(
    case: str,
    known: Known,
    standing: Callable[[State], dict[str, Any]],
    command: Command,
    request: pytest.FixtureRequest,
) -> None:
    if case in {"not embedded", "worker gone", "paused"}:
        request.getfixturevalue("pgvector")
    state, heading, called, line, run = CASES[case]
    told = standing(state)
    numbers = {one["activation"]: one for one in told["activations"]}
    newest = max(numbers, default=0)
    undone = next((str(one["undoes"]) for one in numbers.values() if one["undoes"]), "")
    for word, meant in {"NAME": shlex.quote(known.name), "UNDONE": undone, "HOST": this_host()}.items():
        run, line = run.replace(word, meant), line.replace(word, meant)
    run, line = re.sub(r"\bN\b", str(newest), run), re.sub(r"\bN\b", str(newest), line)
    assert told["next"] == run
    found = [(one["heading"], one["state"]) for one in told["findings"]]
    assert found == ([(heading, called)] if heading else [])
    assert all(line in one["what"] for one in told["findings"])
    page, all_of_them = command("status", known.name).out, command("status").out
    assert f"next: {run}" in page
    for text in (page, all_of_them) if heading else ():
        assert line in text
        assert f"run: {run}" in text
    assert known.name in all_of_them
    assert_commands_exist([run, *(one["run"] for one in told["findings"])])


def assert_commands_exist(lines: list[str]) -> None:
    """Whatever is suggested is understood by the command line."""
    found = [shlex.split(one) for line in lines for one in re.findall(r"ingest [^(;,`]*", line)]
    assert found
    for words in found:
        words = words[: words.index("ingests")] if "ingests" in words else words  # noqa: PLW2901 - of a sentence
        parsed: click.Command = cli.ingest
        rest = words[1:]
        while isinstance(parsed, click.Group):
            parsed, rest = parsed.commands[rest[0]], rest[1:]
        parsed.make_context(" ".join(words), rest)


@pytest.mark.parametrize(
    ("state", "times", "doing", "far"),
    [
        ("pinned", 1, "reading", "70 rows so far; last part 7 min ago"),
        ("snapshotted", 2, "normalizing", "1 of 2 parts; last part 7 min ago"),
        ("accepted", 4, "upserting", "0 of 9 rows; last part 7 min ago"),
        ("committed", 5, "requesting", "embedding requests of what changed"),
        ("done", len(TIMES), "beginning", "heartbeat 3 min ago"),
    ],
)
def test_a_run_at_work_says_how_far_it_is_and_when_it_was_heard_of(
    state: str, times: int, doing: str, far: str, standing: Callable[[State], dict[str, Any]]
) -> None:
    def at_work(known: Known) -> None:
        kept = COUNTS if times >= 5 else ("rows_read", "rejected", "valid")[:times]
        number = known.activation(state, times=times, **{name: COUNTS[name] for name in kept})
        known.held(seconds=60)
        for part, rows in enumerate((50, 20)):
            known.part(number, "branch_snapshot", part, rows)
        known.part(number, "normalized_items", 0, 45)

    (found,) = standing(at_work)["findings"]
    assert (found["heading"], found["state"]) == ("at work", doing)
    assert far in found["what"]
    assert "heartbeat 3 min ago, run abcdef01 on" in found["what"]
    assert ("last part" in found["what"]) == ("last part" in far)


def test_without_pgvector_the_dbas_command_is_said(
    known: Known, standing: Callable[[State], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_project.cli.status.has_vectors", lambda *_: False)
    (found,) = standing(lambda it: it.item("p"))["findings"]
    assert (found["heading"], found["state"]) == ("waiting", "no pgvector")
    assert "create extension vector" in found["do"]


def test_what_needs_a_hand_is_said_first(known: Known, standing: Callable[[State], dict[str, Any]]) -> None:
    def everything(it: Known) -> None:
        it.item("p")
        it.item("x", error_class="refused")
        it.activation("refused", error=ERROR)

    told = standing(everything)
    assert [one["heading"] for one in told["findings"]] == ["needs a hand", "needs a hand", "waiting"]
    assert told["next"] == f"ingest run {shlex.quote(known.name)}"


def test_the_page_of_all_has_its_headings_in_order_and_a_table(
    known: Known, standing: Callable[[State], dict[str, Any]], command: Command
) -> None:
    standing(blocked)
    said = command("status").out.splitlines()
    heads = [line for line in said if line in HEADINGS]
    assert heads == [heading for heading in HEADINGS if heading in heads]
    assert heads[0] == "needs a hand"
    row = next(line for line in said if line.startswith(f"  {known.name} "))
    assert re.search(r"blocked +never +10 +1 +0 +100.0 % +0 +0 +ingest accept \d+ shrink_ratio", row)


def test_an_age_is_said_in_the_unit_that_fits() -> None:
    ages = [timedelta(seconds=seconds) for seconds in (-1, 119, 7_199, 172_799, 777_600)]
    assert [ago(None), *map(ago, ages)] == [
        "never",
        "0 s ago",
        "119 s ago",
        "119 min ago",
        "47 hours ago",
        "9 days ago",
    ]
