"""`ingest dev`: the UI answers on the same data, and one Ctrl-C ends all of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingest_project.defs.home import dagster_home
from ingest_project.errors import IngestError
from ingest_project.postgres.connection import session
from ingest_project_tests.house.test_architecture import REPOSITORY
from ingest_project_tests.journey.conftest import SECOND, Place, Ran
from ingest_project_tests.journey.states import rows

dev_module = import_module("ingest_project.cli.dev")  # the name in its package may be the command
COMMAND = "from ingest_project.cli import main; main()"
ASSETS = "{ assetNodes { assetKey { path } isPartitioned description } }"
MATERIALIZE = """
mutation($key: String!, $name: String!) {
  launchPipelineExecution(executionParams: {
    selector: { repositoryLocationName: "ingest_project.definitions", repositoryName: "__repository__", jobName: $name }
    mode: "default" runConfigData: {}
    executionMetadata: { tags: [{ key: "dagster/partition", value: $key }] }
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}"""


class Dev:
    """A running UI and what its web server answers; what it prints is in a file, not in a pipe that fills up."""

    def __init__(self, port: int, log: Path, *command: str, **environment: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **environment},
                cwd=REPOSITORY,
                stdout=out,
                stderr=subprocess.STDOUT,
                # As a script's `&` does it; no thread of this process holds a lock meanwhile.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509
            )

    def ask(self, query: str, **variables: str) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        asked = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)["data"]

    def wait(self, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/server_info", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "the UI did not answer"
                time.sleep(0.5)

    def says(self, line: str, seconds: float = 60) -> None:
        """Wait until it has printed this."""
        deadline = time.monotonic() + seconds
        while line not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def end(self) -> None:
        if self.process.poll() is None:
            for process in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
                process.kill()
        self.process.wait()


@pytest.fixture
def dev(fresh_database: str, home: Path, port: int) -> Iterator[Dev]:
    running = Dev(port, home / "log", "-c", COMMAND, "dev", "--port", str(port))
    try:
        yield running
    finally:
        running.end()


def test_dagster_dev_works_with_the_workspace_file(fresh_database: str, home: Path, port: int) -> None:
    command = ("-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port))
    running = Dev(port, home / "log", *command, DAGSTER_HOME=str(dagster_home()))
    try:
        running.wait()
        assert len(running.ask(ASSETS)["assetNodes"]) == 5
    finally:
        running.end()


def test_materialize_in_the_ui_activate_in_sql_and_one_ctrl_c_ends_it(dev: Dev, branch: Callable[..., Place]) -> None:
    place = branch()
    dev.wait()
    dev.says(f"ready at {dev.url}/assets   (Ctrl-C ends all)")
    nodes = {node["assetKey"]["path"][-1]: node for node in dev.ask(ASSETS)["assetNodes"]}
    assert set(nodes) == {"branch_snapshot", "normalized_items", "core_items", "embedding_requests", "item_embeddings"}
    assert all(node["isPartitioned"] and node["description"] for node in nodes.values())
    add_partition(place.name)
    launched = dev.ask(MATERIALIZE, key=place.name, name="ingest_branch")["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    until_done(1, items=9)
    place.holds(SECOND)
    with session() as connection:
        connection.execute("select ingest.activate(%s)", (place.name,))
    until_done(2, items=11)
    until_embedded(11)
    assert ended_by(dev, signal.SIGINT) >= 3


def test_a_run_at_work_ends_with_it_and_can_be_gone_on_with(
    dev: Dev, branch: Callable[..., Place], command: Callable[..., Ran]
) -> None:
    place = branch()
    dev.wait()
    add_partition(place.name)
    with session() as connection, connection.transaction():
        connection.execute("lock table core.items in access exclusive mode")
        dev.ask(MATERIALIZE, key=place.name, name="ingest_branch")
        until_a_lock_is_waited_for()
        ended_by(dev, signal.SIGINT)
    assert command("run", place.name).code == 0
    with session() as connection:
        assert rows(connection, "select activation_id, state from ingest.activations") == [
            {"activation_id": 1, "state": "done"}
        ]
        assert rows(connection, "select count(*) from core.items") == [{"count": 9}]


def ended_by(dev: Dev, wanted: signal.Signals) -> int:
    """How many processes a signal ended, that were all of its family."""
    family = psutil.Process(dev.process.pid).children(recursive=True)
    dev.process.send_signal(wanted)
    dev.process.wait(100)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    return len(family)


def test_started_behind_a_script_it_still_ends_by_sigterm(dev: Dev) -> None:
    dev.wait()
    assert ended_by(dev, signal.SIGTERM)


def test_a_port_that_is_taken_is_said_at_once(command: Callable[..., Ran], port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        ran = command("dev", "--port", str(port))
    assert ran.code == 2
    assert f"nothing can listen at 127.0.0.1:{port}: Address already in use" in ran.err
    assert f"ingest dev --port {port + 1}" in ran.err


def test_what_does_not_listen_is_killed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev_module, "STOP_SECONDS", 1)
    monkeypatch.setattr(dev_module, "_GRACE_SECONDS", 0)
    deaf = "import signal; [signal.signal(one, signal.SIG_IGN) for one in (2, 15)]; print('deaf', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}]); {deaf}"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dagster:
        assert dagster.stdout is not None
        assert [dagster.stdout.readline() for _ in range(2)] == [b"deaf\n"] * 2
        family = psutil.Process(dagster.pid).children(recursive=True)
        dev_module.end(dagster)
        _, alive = psutil.wait_procs(family, timeout=5)
    assert (dagster.returncode, len(family), alive) == (-signal.SIGKILL, 1, [])


def test_what_never_answers_is_waited_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(dev_module, "START_SECONDS", 1.0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as silent:
        assert dev_module.wait_for_ui(silent, f"http://127.0.0.1:{port}") is False
        silent.kill()


def test_what_ends_by_itself_is_no_success(port: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as ended:
        ended.wait()
        with pytest.raises(IngestError, match="ended by itself, with 7"):
            dev_module.wait_for_ui(ended, f"http://127.0.0.1:{port}")


def add_partition(name: str) -> None:
    from dagster import DagsterInstance  # noqa: PLC0415 - seconds that other tests of this worker need not wait for

    with DagsterInstance.from_config(str(dagster_home())) as instance:
        instance.add_dynamic_partitions("branch", [name])


def until_embedded(items: int) -> None:
    """By the sensor of the backlog, in the live daemon."""
    deadline = time.monotonic() + 180
    with session() as connection:
        if rows(connection, "select to_regtype('vector') as known")[0]["known"] is None:
            return
        while (found := rows(connection, "select status::text from core.embedding_requests")) != [
            {"status": "d"}
        ] * items:
            assert time.monotonic() < deadline, found
            time.sleep(0.5)


def until_a_lock_is_waited_for() -> None:
    deadline = time.monotonic() + 180
    with session() as connection:
        while not rows(connection, "select 1 from pg_locks where not granted and relation = 'core.items'::regclass"):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def until_done(count: int, items: int) -> None:
    deadline = time.monotonic() + 180
    with session() as connection:
        while rows(connection, "select count(*) from ingest.activations where state = 'done'")[0]["count"] < count:
            assert time.monotonic() < deadline, rows(connection, "select state, error from ingest.activations")
            time.sleep(0.5)
        assert rows(connection, "select count(*) from core.items")[0]["count"] == items
