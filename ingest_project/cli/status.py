"""`ingest status`: what is stuck, what is going on, what to run."""

import json
import shlex
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from ingest_project.branches import activations, registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.gates import gates_of
from ingest_project.branches.overview import Overview, overviews, progress_of
from ingest_project.branches.registry import Branch
from ingest_project.cli.branch_status import HEADINGS, BranchStatus, Finding, ago
from ingest_project.cli.completion import branch_names
from ingest_project.cli.summary import COUNTS
from ingest_project.cli.terminal import bold, json_option, table
from ingest_project.embeddings.models import has_vectors, working_models
from ingest_project.embeddings.status import EmbeddingStatus, embedding_status
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import Holder
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.postgres.pulses import SENSORS, WORKERS, Pulses, is_alive, pulses

# Activations that are read of each branch: a rollback and a replay may be newer than the newest ingest.
_NEWEST, _NEWEST_OF_ONE_BRANCH = 3, 10


@click.command()
@click.argument("name", required=False, shell_complete=branch_names)
@json_option
def status(name: str | None, *, as_json: bool) -> None:
    """Say what is stuck, what is going on and what waits, of all branches or of NAME, and the command for each.

    Example: ingest status places
    """
    ensure_migrated()
    with session() as connection:
        ages = pulses(connection)
        statuses = _branch_statuses(connection, name, ages)
    if as_json:
        count = _NEWEST_OF_ONE_BRANCH if name else 1
        click.echo(json.dumps([_as_json(status, count) for status in statuses], default=_as_text))
    elif not statuses:
        click.echo("no branch yet; next: ingest branch apply FILE, or ingest demo")
    elif name:
        click.echo("\n".join(_page(statuses[0])))
    else:
        click.echo("\n".join([*_overview(statuses), "", _workers(ages)]))


def _branch_statuses(connection: Connection, name: str | None, ages: Pulses) -> list[BranchStatus]:
    branches = [registry.get_branch(connection, name)] if name else registry.list_branches(connection)
    count = _NEWEST_OF_ONE_BRANCH if name else _NEWEST
    overview_of = overviews(connection, name)
    holders = {holder.branch_id: holder for holder in leases.held_leases(connection)}
    embeddings = embedding_status(connection, branches[0].branch_id if name else None)
    can_store = any(has_vectors(connection, model) for model in working_models(connection))
    return [
        _branch_status(
            connection,
            branch,
            activations.newest(connection, branch.branch_id, count),
            overview_of[branch.name],
            holders.get(branch.branch_id),
            embeddings,
            can_store,
            ages,
        )
        for branch in branches
    ]


def _branch_status(
    connection: Connection,
    branch: Branch,
    newest: list[Activation],
    overview: Overview,
    holder: Holder | None,
    embeddings: list[EmbeddingStatus],
    has_vectors: bool,
    ages: Pulses,
) -> BranchStatus:
    newest_ingest = next((activation for activation in newest if activation.kind != "rollback"), None)
    return BranchStatus(
        branch,
        overview,
        newest,
        gates_of(connection, newest_ingest.activation_id) if newest_ingest else [],
        progress_of(connection, newest_ingest) if newest_ingest and holder else None,
        holder,
        [model for model in embeddings if model.branch == branch.name],
        has_vectors,
        ages,
    )


# ── for scripts ────────────────────────────────────────────────────────────────────────────────────────────


def _as_json(status: BranchStatus, count: int) -> dict[str, Any]:
    return {
        "branch": status.branch.name,
        "source": status.branch.spec.source,
        "location": status.branch.spec.location,
        "state": status.branch.state,
        "last_done": status.overview.last_done,
        "last_done_at": status.overview.last_done_at,
        "held_by": _holder_as_json(status) if status.holder else None,
        "findings": [asdict(finding) for finding in status.findings],
        "activations": [_activation_as_json(status, activation) for activation in status.activations[:count]],
        "embeddings": [{**asdict(model), "coverage": round(model.coverage, 4)} for model in status.embeddings],
        "next": status.next(),
    }


def _holder_as_json(status: BranchStatus) -> dict[str, Any]:
    assert status.holder is not None, "the caller has asked"
    return {
        "run": status.holder.run_id,
        "host": status.holder.host,
        "since": status.holder.acquired_at,
        "last_seen": status.holder.heartbeat_at,
        "live": status.is_held,
    }


def _activation_as_json(status: BranchStatus, activation: Activation) -> dict[str, Any]:
    gates = status.gates if activation is status.newest else []
    return {
        "activation": activation.activation_id,
        "kind": activation.kind,
        "undoes": activation.undoes,
        "state": activation.state,
        "requested_at": activation.requested_at,
        "done_at": activation.done_at,
        **{count: getattr(activation, count) for count in COUNTS},
        "error": activation.error,
        "drift": activation.reported_drift,
        "gates": [{**asdict(gate), "passed": gate.passed} for gate in gates],
    }


def _as_text(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, datetime) else str(value)


# ── for people ─────────────────────────────────────────────────────────────────────────────────────────────


def _overview(statuses: list[BranchStatus]) -> list[str]:
    findings = [(status.branch.name, finding) for status in statuses for finding in status.findings]
    lines: list[str] = []
    for heading in HEADINGS:
        lines += _block(heading, [(name, finding) for name, finding in findings if finding.heading == heading])
    title = "the branches" if findings else "all is quiet"
    return [*lines, bold(title), table([_HEADER, *(_row(status) for status in statuses)], right=_NUMBERS)]


def _workers(ages: Pulses) -> str:
    """When sensors and nightly chores were last at work."""
    last = ", ".join(f"{worker} {ago(ages.get(worker))}" for worker in WORKERS)
    is_dead = not any(is_alive(ages.get(sensor)) for sensor in SENSORS)
    return f"last at work: {last}{'; `ingest dev` starts the daemon' if is_dead else ''}"


def _block(heading: str, findings: list[tuple[str, Finding]]) -> list[str]:
    if not findings:
        return []
    return [bold(heading), *(line for name, finding in findings for line in _lines(finding, name)), ""]


def _lines(finding: Finding, name: str = "") -> list[str]:
    head = f"  {name}: " if name else "  "
    lines = [f"{head}{finding.state}: {finding.what}"]
    lines += [f"    do:  {finding.do}"] if finding.do else []
    return [*lines, f"    run: {finding.run}"]


_HEADER = ("branch", "newest", "last ingested", "read", "rejected", "items", "embedded", "pending", "dead", "run")
_NUMBERS = (3, 4, 5, 6, 7, 8)


def _row(status: BranchStatus) -> tuple[object, ...]:
    ingests = (activation for activation in status.activations if activation.kind == "ingest")
    last = next((activation for activation in ingests if activation.rows_read is not None), None)
    newest, active = status.newest, next((model for model in status.embeddings if model.state == "active"), None)
    return (
        status.branch.name,
        newest.state if newest else "never run",
        ago(status.overview.since_done),
        last.rows_read if last else "-",
        (last.rejected if last.rejected is not None else "-") if last else "-",
        active.items if active else "-",
        _percent(active) if active else "-",
        sum(model.pending + model.leased for model in status.embeddings),
        sum(sum(model.dead.values()) for model in status.embeddings),
        _command(status, last),
    )


def _command(status: BranchStatus, last: Activation | None) -> str:
    if status.findings or status.newest is None:
        return status.next()
    name = shlex.quote(status.branch.name)
    return f"ingest rejects {name}" if last and last.rejected else f"ingest status {name}"


def _percent(model: EmbeddingStatus) -> str:
    # Rounded down: it is 100 % only if nothing is missing.
    return f"{int(1000 * model.coverage) / 10:.1f} %"


def _page(status: BranchStatus) -> list[str]:
    spec = status.branch.spec
    lines = [f"{status.branch.name}   source {spec.source}   {spec.location}"]
    lines += [line for finding in status.findings for line in _lines(finding)]
    lines += [line for activation in status.activations for line in _history(status, activation)]
    for model in status.embeddings:
        dead = sum(model.dead.values())
        lines.append(
            f"  {model.model} ({model.state}): {model.done:,} of {model.items:,} items embedded ({_percent(model)}), "
            f"{model.pending + model.leased:,} pending, {dead:,} dead"
        )
    if status.overview.source_age is not None:
        lines.append(f"  what is in core.items was written at its source {ago(status.overview.source_age)}")
    return [*lines, f"  next: {status.next()}"]


def _history(status: BranchStatus, activation: Activation) -> list[str]:
    values = [(name, getattr(activation, name)) for name in COUNTS]
    counts = ", ".join(f"{name} {value:,}" for name, value in values if value is not None)
    kind = f"rollback of {activation.undoes}, " if activation.undoes else ""
    when = f"{activation.requested_at:%Y-%m-%d %H:%M}"
    lines = [f"  activation {activation.activation_id}  {activation.state:<11} {when}  {kind}{counts}"]
    if activation.error and not (activation is status.newest and status.findings):
        lines.append(f"    {activation.error['code']}: {activation.error['what']}")
    lines += [f"    columns: {change}" for change in activation.reported_drift]
    gates = status.gates if activation is status.newest else []
    return lines + [
        f"    accepted: {gate.code}, {gate.figures}, by {gate.accepted_by} on {gate.accepted_at:%Y-%m-%d}: {gate.why}"
        for gate in gates
        if gate.accepted_at
    ]
