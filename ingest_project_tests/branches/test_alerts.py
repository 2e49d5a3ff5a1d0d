"""Alerts: told once, told again when they change, kept until the receiver has them."""

import logging
from collections.abc import Callable, Iterator

import pytest

from ingest_project.branches import alerts, registry
from ingest_project.branches.spec import parse_spec
from ingest_project.errors import IngestError, SourceMissing, UsageError
from ingest_project.postgres.connection import Connection
from ingest_project.settings import settings
from ingest_project_tests.branches.receiver import Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as listening:
        monkeypatch.setenv("INGEST_WEBHOOK_URL", listening.url)
        settings.cache_clear()
        yield listening
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def branch_id(connection: Connection) -> int:
    spec = {"name": "café", "source": "café", "location": "x.csv", "key": "id", "mapping": {"name": "n"}}
    registry.apply_branch(connection, parse_spec(spec, origin="test"))
    return registry.get_branch(connection, "café").branch_id


LOST = IngestError("the disk is full", todo="Make room.")
GONE = SourceMissing("nothing is at x.csv")


@pytest.fixture
def fails(connection: Connection, branch_id: int) -> Callable[..., int]:
    """Keep a trouble and tell; how many alerts arrived."""

    def fail(error: IngestError = LOST, activation: int = 1) -> int:
        alerts.raise_alert(connection, branch_id, activation, f"run-{activation}", error)
        return alerts.deliver(connection)

    return fail


def test_a_receiver_gets_what_where_and_what_to_do(receiver: Receiver, fails: Callable[..., int]) -> None:
    assert fails() == 1
    (told,) = receiver.received
    assert told.pop("since")
    assert told == {
        **{"branch": "café", "event": "failed", "activation": 1, "run": "run-1", "code": "IngestError", "times": 1},
        **{"what": "the disk is full", "todo": "Make room."},
        "text": "café failed: the disk is full\ndo: Make room.",
    }


def test_the_same_trouble_is_told_once(receiver: Receiver, fails: Callable[..., int]) -> None:
    assert [fails(), fails(), fails()] == [1, 0, 0]


def test_another_trouble_is_told_with_how_often_it_failed_by_now(receiver: Receiver, fails: Callable[..., int]) -> None:
    fails()
    fails()
    assert fails(GONE) == 1
    assert receiver.events == [("failed", "IngestError"), ("refused", "SourceMissing")]
    assert receiver.received[1]["times"] == 3
    assert fails(GONE, activation=2) == 1, "another state of the data"


def test_recovery_is_told_once_and_only_after_trouble(
    receiver: Receiver, connection: Connection, branch_id: int, fails: Callable[..., int]
) -> None:
    alerts.clear_alert(connection, branch_id, 1, "run-1")
    assert alerts.deliver(connection) == 0
    fails()
    for _ in range(2):
        alerts.clear_alert(connection, branch_id, 2, "run-2")
        alerts.deliver(connection)
    assert [event for event, _ in receiver.events] == ["failed", "recovered"]
    assert receiver.received[1]["text"] == "café went through again (activation 2); it had said: the disk is full"
    assert fails(activation=3) == 1
    assert receiver.received[2]["times"] == 1, "a new trouble"


@pytest.mark.parametrize("status", [404, 500])
def test_what_the_receiver_refused_is_told_later(receiver: Receiver, fails: Callable[..., int], status: int) -> None:
    receiver.status = status
    assert fails() == 0
    receiver.status = 204
    assert fails() == 1
    assert receiver.received[0]["times"] == 2


def test_a_receiver_that_is_away_fails_nothing_and_is_not_named_in_the_log(
    receiver: Receiver, fails: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INGEST_WEBHOOK_URL", "http://127.0.0.1:9/T0K3N")
    settings.cache_clear()
    monkeypatch.setattr("ingest_project.branches.alerts.log", logging.getLogger("seen"))
    assert fails() == 0
    assert "did not take an alert of 'café'" in caplog.text
    assert "T0K3N" not in caplog.text


def test_without_a_webhook_nothing_is_told(connection: Connection, fails: Callable[..., int]) -> None:
    assert not alerts.is_enabled()
    assert fails() == 0


def test_an_address_that_is_no_webhook_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_WEBHOOK_URL", "file:///etc/s3cret")
    settings.cache_clear()
    with pytest.raises(UsageError, match=r"INGEST_WEBHOOK_URL: .*must begin with http") as caught:
        settings()
    assert "s3cret" not in str(caught.value)
    monkeypatch.undo()
    settings.cache_clear()
