"""`ingest status`: what is stuck, what is going on, what to run."""

import json
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
from ingest_project.cli.terminal import json_option, strong, table
from ingest_project.embeddings.models import has_vectors, working_models
from ingest_project.embeddings.status import EmbeddingStatus, embedding_status
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import Holder
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.postgres.pulses import SENSORS, WORKERS, Pulses, is_alive, pulses

_OF_ALL, _OF_ONE = 3, 10  # activations: a rollback and a replay may stand before the newest ingest


@click.command()
@click.argument("name", required=False, shell_complete=branch_names)
@json_option
def status(name: str | None, *, as_json: bool) -> None:
    """Say what is stuck, what is going on and what waits, of all branches or of NAME, and the command for each.

    Example: ingest status places
    """
    ensure_migrated()
    with session() as connection:
        heard = pulses(connection)
        found = _branch_statuses(connection, name, heard)
    if as_json:
        click.echo(json.dumps([_as_json(one, _OF_ONE if name else 1) for one in found], default=_as_text))
    elif not found:
        click.echo("no branch yet; next: ingest branch apply FILE, or ingest demo")
    elif name:
        click.echo("\n".join(_page(found[0])))
    else:
        click.echo("\n".join([*_overview(found), "", _by_themselves(heard)]))


def _branch_statuses(connection: Connection, name: str | None, heard: Pulses) -> list[BranchStatus]:
    branches = [registry.get_branch(connection, name)] if name else registry.list_branches(connection)
    known = overviews(connection, name)
    holders = {held.branch_id: held for held in leases.held_leases(connection)}
    embeddings = embedding_status(connection, branches[0].branch_id if name else None)
    stored = any(has_vectors(connection, model) for model in working_models(connection))
    return [
        _branch_status(
            connection, one, known[one.name], holders.get(one.branch_id), embeddings, stored, name is not None, heard
        )
        for one in branches
    ]


def _branch_status(
    connection: Connection,
    branch: Branch,
    overview: Overview,
    holder: Holder | None,
    embeddings: list[EmbeddingStatus],
    has_vectors: bool,
    whole: bool,
    heard: Pulses,
) -> BranchStatus:
    newest = activations.newest(connection, branch.branch_id, _OF_ONE if whole else _OF_ALL)
    own = next((one for one in newest if one.kind != "rollback"), None)
    return BranchStatus(
        branch,
        overview,
        newest,
        gates_of(connection, own.activation_id) if own else [],
        progress_of(connection, own) if own and holder else None,
        holder,
        [one for one in embeddings if one.branch == branch.name],
        has_vectors,
        heard,
    )


# ── for scripts ────────────────────────────────────────────────────────────────────────────────────────────


def _as_json(one: BranchStatus, count: int) -> dict[str, Any]:
    return {
        "branch": one.branch.name,
        "source": one.branch.spec.source,
        "location": one.branch.spec.location,
        "state": one.branch.state,
        "last_done": one.overview.last_done,
        "last_done_at": one.overview.last_done_at,
        "held_by": _held(one) if one.holder else None,
        "findings": [asdict(found) for found in one.findings],
        "activations": [_told(one, activation) for activation in one.activations[:count]],
        "embeddings": [{**asdict(model), "coverage": round(model.coverage, 4)} for model in one.embeddings],
        "next": one.next(),
    }


def _held(one: BranchStatus) -> dict[str, Any]:
    assert one.holder is not None, "asked before"
    return {
        "run": one.holder.run_id,
        "host": one.holder.host,
        "since": one.holder.acquired_at,
        "last_seen": one.holder.heartbeat_at,
        "live": one.is_held,
    }


def _told(one: BranchStatus, activation: Activation) -> dict[str, Any]:
    gates = one.gates if activation is one.newest else []
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


def _overview(found: list[BranchStatus]) -> list[str]:
    told = [(one.branch.name, finding) for one in found for finding in one.findings]
    lines: list[str] = []
    for heading in HEADINGS:
        lines += _block(heading, [(name, finding) for name, finding in told if finding.heading == heading])
    head = "the branches" if told else "all is quiet"
    return [*lines, strong(head), table([_HEADER, *(_row(one) for one in found)], right=_NUMBERS)]


def _by_themselves(heard: Pulses) -> str:
    told = ", ".join(f"{worker} {ago(heard.get(worker))}" for worker in WORKERS)
    is_dead = not any(is_alive(heard.get(starter)) for starter in SENSORS)
    return f"last at work: {told}{'; `ingest dev` starts the daemon' if is_dead else ''}"


def _block(heading: str, told: list[tuple[str, Finding]]) -> list[str]:
    return [strong(heading), *(line for name, finding in told for line in _lines(finding, name)), ""] if told else []


def _lines(finding: Finding, name: str = "") -> list[str]:
    head = f"  {name}: " if name else "  "
    lines = [f"{head}{finding.state}: {finding.what}"]
    lines += [f"    do:  {finding.do}"] if finding.do else []
    return [*lines, f"    run: {finding.run}"]


_HEADER = ("branch", "newest", "last ingested", "read", "rejected", "items", "embedded", "pending", "dead", "run")
_NUMBERS = (3, 4, 5, 6, 7, 8)


def _row(one: BranchStatus) -> tuple[object, ...]:
    last = next((each for each in one.activations if each.kind == "ingest" and each.rows_read is not None), None)
    newest, active = one.newest, next((model for model in one.embeddings if model.state == "active"), None)
    return (
        one.branch.name,
        newest.state if newest else "never run",
        ago(one.overview.since_done),
        last.rows_read if last else "-",
        (last.rejected if last.rejected is not None else "-") if last else "-",
        active.items if active else "-",
        _percent(active) if active else "-",
        sum(model.pending + model.leased for model in one.embeddings),
        sum(sum(model.dead.values()) for model in one.embeddings),
        _run(one, last),
    )


def _run(one: BranchStatus, last: Activation | None) -> str:
    if one.findings or one.newest is None:
        return one.next()
    name = one.command.removeprefix("ingest run ")
    return f"ingest rejects {name}" if last and last.rejected else f"ingest status {name}"


def _percent(one: EmbeddingStatus) -> str:
    # Rounded down: 100 % is said of all or of none.
    return f"{int(1000 * one.coverage) / 10:.1f} %"


def _page(one: BranchStatus) -> list[str]:
    spec = one.branch.spec
    lines = [f"{one.branch.name}   source {spec.source}   {spec.location}"]
    lines += [line for finding in one.findings for line in _lines(finding)]
    lines += [line for activation in one.activations for line in _history(one, activation)]
    for model in one.embeddings:
        dead = sum(model.dead.values())
        lines.append(
            f"  {model.model} ({model.state}): {model.done:,} of {model.items:,} items embedded ({_percent(model)}), "
            f"{model.pending + model.leased:,} pending, {dead:,} dead"
        )
    if one.overview.source_age is not None:
        lines.append(f"  what is in core.items was written at its source {ago(one.overview.source_age)}")
    return [*lines, f"  next: {one.next()}"]


def _history(one: BranchStatus, activation: Activation) -> list[str]:
    known = [(count, getattr(activation, count)) for count in COUNTS]
    told = ", ".join(f"{count} {value:,}" for count, value in known if value is not None)
    kind = f"rollback of {activation.undoes}, " if activation.undoes else ""
    when = f"{activation.requested_at:%Y-%m-%d %H:%M}"
    lines = [f"  activation {activation.activation_id}  {activation.state:<11} {when}  {kind}{told}"]
    if activation.error and not (activation is one.newest and one.findings):
        lines.append(f"    {activation.error['code']}: {activation.error['what']}")
    lines += [f"    columns: {change}" for change in activation.reported_drift]
    gates = one.gates if activation is one.newest else []
    return lines + [
        f"    accepted: {gate.code}, {gate.figures}, by {gate.accepted_by} on {gate.accepted_at:%Y-%m-%d}: {gate.why}"
        for gate in gates
        if gate.accepted_at
    ]
