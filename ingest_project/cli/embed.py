"""`ingest embed`: vectors for what waits in the ledger, how far it is, and another try for what is dead."""

import json
import shlex
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING

import click

from ingest_project.branches import registry
from ingest_project.cli import progress
from ingest_project.cli.completion import branch_names
from ingest_project.cli.groups import OrderedGroup
from ingest_project.cli.terminal import fail_with, json_option
from ingest_project.errors import IngestError, Interrupted, ProviderUnusable
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated

if TYPE_CHECKING:
    from ingest_project.embeddings.models import Model
    from ingest_project.embeddings.status import EmbeddingStatus
    from ingest_project.embeddings.worker import EmbedOutcome


@click.group(cls=OrderedGroup)
def embed() -> None:
    """Vectors of items: make those that are asked for, see how far it is, try dead ones again."""


@embed.command("run")
@click.argument("name", required=False, shell_complete=branch_names)
@click.option("--limit", type=click.IntRange(1), help="So many items at most, of each model.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="At the same time; each takes two sessions of Postgres.",
)
@json_option
def run_command(name: str | None, *, limit: int | None, workers: int, as_json: bool) -> int:
    """Embed what waits, of all branches or of NAME, until nothing is due; Ctrl-C hands back what is not answered.

    Any number of these may run at once, here and elsewhere.

    Example: ingest embed run places --workers 4
    """
    from ingest_project.embeddings.models import working_models
    from ingest_project.embeddings.queue import chosen_limits, require_vectors
    from ingest_project.embeddings.worker_pool import run_workers

    ensure_migrated()
    branch_id = _branch_id(name)
    with session() as connection:
        require_vectors(connection)
        models = working_models(connection)
    outcomes: list[dict[str, object]] = []
    failure: IngestError | None = None
    with _stopped_by_signals() as stop:
        for model in models:
            _announce(model, branch_id, limit)
            limits = replace(chosen_limits(), max_requests=limit)
            try:
                with progress.displayed():
                    outcome = run_workers(
                        model_id=model.model_id, branch_id=branch_id, workers=workers, limits=limits, stop=stop
                    )
            except ProviderUnusable as error:  # the other models go on; the error is printed at the end
                failure = failure or error
                stop.reset()
                continue
            outcomes.append({"model": model.model_id, "name": model.label, **asdict(outcome)})
            if not as_json:
                click.echo("\n".join(_outcome_lines(model, outcome, name)))
            if stop.is_set():
                failure = Interrupted(
                    "interrupted: what was answered is stored, what was not is handed back and waits as before"
                )
                break
    if failure:
        return fail_with(failure, models=outcomes)
    if as_json:
        click.echo(json.dumps(outcomes))
    return 0


@embed.command("status")
@click.argument("name", required=False, shell_complete=branch_names)
@json_option
def status_command(name: str | None, *, as_json: bool) -> None:
    """How far embedding is, per model and branch: waiting, done, dead and why, and what to run.

    Example: ingest embed status places
    """
    from ingest_project.embeddings.status import embedding_status

    ensure_migrated()
    branch_id = _branch_id(name)
    with session() as connection:
        models = embedding_status(connection, branch_id)
    if as_json:
        statuses = [{**asdict(model), "coverage": round(model.coverage, 4)} for model in models]
        click.echo(json.dumps(statuses, default=_as_text))
    elif not models:
        click.echo("nothing is embedded yet; next: ingest branch apply FILE, or ingest demo")
    else:
        click.echo("\n".join(line for model in models for line in _status_lines(model)))


@embed.command("retry")
@click.argument("name", required=False, shell_complete=branch_names)
@click.option("--error-class", help="Only requests that died of this: `ingest embed status` counts by it.")
@json_option
def retry_command(name: str | None, *, error_class: str | None, as_json: bool) -> None:
    """Give dead requests all their attempts again, once what was wrong is mended.

    Example: ingest embed retry places --error-class refused
    """
    from ingest_project.embeddings.queue import retry_dead

    ensure_migrated()
    branch_id = _branch_id(name)
    with session() as connection:
        count = retry_dead(connection, branch_id, error_class)
    if as_json:
        click.echo(json.dumps({"retried": count}))
        return
    again = f"\nnext: ingest embed run{_argument(name)}" if count else ""
    click.echo(f"{count:,} dead requests wait again{again}")


def _branch_id(name: str | None) -> int | None:
    if name is None:
        return None
    with session() as connection:
        return registry.get_branch(connection, name).branch_id


class _Stop(threading.Event):
    """Stops the workers: set by a signal, and by one worker for the others when it fails."""

    by_signal = False

    def set_by_signal(self) -> None:
        self.by_signal = True
        self.set()

    def reset(self) -> None:
        """Let the next model begin, unless a signal has come."""
        self.clear()
        if self.by_signal:  # asked after clearing: a signal in between is not lost
            self.set()


@contextmanager
def _stopped_by_signals() -> Generator[_Stop]:
    """The first signal asks for a stop, which hands leases back; a second one does not wait for it."""
    stop = _Stop()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.by_signal:
            raise KeyboardInterrupt
        stop.set_by_signal()

    handlers = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _announce(model: "Model", branch_id: int | None, limit: int | None) -> None:
    from ingest_project.embeddings.queue import estimate

    with session() as connection:
        expected = estimate(connection, model, branch_id)
    at_most = f", {limit:,} of them now" if limit is not None and limit < expected.items else ""
    price = "" if expected.usd is None else f", about {expected.usd:,.2f} USD"
    click.echo(
        f"{model.label}: {expected.items:,} items wait{at_most}; all are about {expected.tokens:,} tokens{price}",
        err=True,
    )


def _outcome_lines(model: "Model", outcome: "EmbedOutcome", name: str | None) -> list[str]:
    rate = outcome.done / outcome.seconds if outcome.seconds else 0
    tokens = f", {outcome.tokens:,} tokens" if outcome.tokens else ""
    lines = [f"{model.label}: {outcome.done:,} embedded in {outcome.seconds:.1f} s ({rate:,.0f}/s){tokens}"]
    counts = {
        "failed, to be tried again": outcome.failed,
        "deferred, since the provider was asked too fast": outcome.deferred,
        "changed or lost meanwhile, not stored": outcome.stale,
        "dead: ingest embed status": outcome.dead,
    }
    lines += [f"  {count:,} {meaning}" for meaning, count in counts.items() if count]
    if outcome.waiting is not None:
        when = f"the next in {outcome.waiting:,.0f} s" if outcome.waiting else "the next now"
        lines.append(f"  some still wait, {when}; next: ingest embed run{_argument(name)}")
    return lines


def _status_lines(status: "EmbeddingStatus") -> list[str]:
    dead = sum(status.dead.values())
    model = f"{status.model_id} {status.model} ({status.state})"
    lines = [
        f"{status.branch}   {model}: {status.done:,} of {status.items:,} items embedded, {status.coverage:.1%}",
        f"  {status.pending:,} pending, {status.leased:,} leased, {dead:,} dead, "
        f"{status.rate:,.1f}/s in the last five minutes",
    ]
    if status.oldest:
        lines.append(
            f"  the oldest waits since {status.oldest:%Y-%m-%d %H:%M:%S} UTC; {status.waiting:,} are not due yet"
        )
    if status.paused_until:
        lines.append(f"  the endpoint is left alone until {status.paused_until:%H:%M:%S} UTC: {status.paused_for}")
    elif status.paused_for:
        lines.append(f"  the endpoint gave no answer when it was asked last: {status.paused_for}")
    if dead:
        lines.append("  dead: " + ", ".join(f"{name} {count:,}" for name, count in sorted(status.dead.items())))
        lines.append(f"  next: mend the cause, then ingest embed retry {shlex.quote(status.branch)}")
    elif status.pending:
        lines.append(f"  next: ingest embed run {shlex.quote(status.branch)}")
    return lines


def _argument(name: str | None) -> str:
    return f" {shlex.quote(name)}" if name else ""


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
