"""Alerts about a branch, posted to a webhook: one for each activation that fails, one when the branch has recovered.

An alert is kept in Postgres until the receiver has it, so it survives the process that failed and a receiver that is
down: the next run, or the sensor, delivers it. Without a webhook nothing is posted.
"""

import json
import urllib.request
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

import psycopg

from ingest_project.errors import IngestError, Refused
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.settings import settings
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "alerts.sql")
_TIMEOUT_SECONDS = 5
Event = Literal["failed", "refused", "recovered"]


@dataclass(frozen=True)
class Alert:
    """What a receiver gets, as JSON; `text` is what chat services show."""

    branch_id: int
    branch: str
    event: Event
    activation: int | None
    run: str | None
    code: str
    what: str
    todo: str
    since: datetime
    times: int

    @property
    def text(self) -> str:
        if self.event == "recovered":
            return f"{self.branch} went through again (activation {self.activation}); it had said: {self.what}"
        return f"{self.branch} {self.event}: {self.what}\ndo: {self.todo}"

    def to_json(self) -> dict[str, object]:
        """Give what is posted."""
        posted = {name: value for name, value in asdict(self).items() if name != "branch_id"}
        return {**posted, "since": self.since.isoformat(), "text": self.text}


def is_enabled() -> bool:
    """Whether this deployment has a webhook."""
    return settings().webhook_url is not None


def raise_alert(
    connection: Connection, branch_id: int, activation: int | None, run_id: str, error: IngestError
) -> None:
    """Record that a run of a branch failed or was refused."""
    values = {
        "branch_id": branch_id,
        "event": "refused" if isinstance(error, Refused) else "failed",
        "activation_id": activation,
        "run_id": run_id,
        "code": type(error).__name__,
        "what": error.what,
        "todo": error.todo,
    }
    connection.execute(_SQL["raise_alert"], values)


def clear_alert(connection: Connection, branch_id: int, activation: int, run_id: str) -> None:
    """Record that a branch has recovered, if it has an alert."""
    values = {"branch_id": branch_id, "activation_id": activation, "run_id": run_id}
    connection.execute(_SQL["clear_alert"], values)


def deliver(connection: Connection) -> int:
    """Post the undelivered alerts; returns how many arrived.

    Never raises: an alert must not fail the run that delivers it.
    """
    if not is_enabled():
        return 0
    try:
        with connection.transaction():
            return sum(_deliver(connection, alert) for alert in _undelivered(connection))
    except psycopg.Error as error:
        log.warning("alerts could not be read: %s", error)
        return 0


def _undelivered(connection: Connection) -> list[Alert]:
    return [Alert(*row) for row in connection.execute(_SQL["undelivered_alerts"]).fetchall()]


def _deliver(connection: Connection, alert: Alert) -> bool:
    delivered = post(alert)
    if delivered:
        connection.execute(_SQL["mark_delivered"], {"branch_id": alert.branch_id})
    return delivered


def post(alert: Alert) -> bool:
    """Send one alert; returns whether the receiver accepted it."""
    url = settings().webhook_url
    assert url is not None, "is_enabled() is checked before"
    request = urllib.request.Request(  # noqa: S310 - settings let http and https through only
        url.get_secret_value(),
        data=json.dumps(alert.to_json(), ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "ingest_project"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - the same
            return True
    except (OSError, ValueError) as error:
        # Without the error's text: it may hold the URL, which is a secret with chat services.
        log.warning("the webhook did not take an alert of %r: %s", alert.branch, type(error).__name__)
        return False
