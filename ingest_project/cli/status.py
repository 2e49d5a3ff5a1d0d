"""`ingest status`: what is going on, what is stuck, what to run."""

import json
import shlex
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from ingest_project.branches import activations, registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.gates import Gate, gates_of
from ingest_project.branches.registry import Branch
from ingest_project.cli.completion import branch_names
from ingest_project.cli.summary import COUNTS
from ingest_project.cli.terminal import json_option
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import Holder
from ingest_project.postgres.migrations import ensure_migrated


@click.command()
@click.argument("name", required=False, shell_complete=branch_names)
@json_option
def status(name: str | None, *, as_json: bool) -> None:
    """What is going on with all branches, or with NAME: activations, holder, errors, and what to run.

    Example: ingest status places
    """
    ensure_migrated()
    with session() as connection:
        branches = [registry.get_branch(connection, name)] if name else registry.list_branches(connection)
        holders = {held.branch_id: held for held in leases.held(connection)}
        count = 10 if name else 1
        found = [_state(connection, branch, holders.get(branch.branch_id), count) for branch in branches]
    if as_json:
        click.echo(json.dumps(found, default=_as_text))
    else:
        for state in found:
            click.echo("\n".join(_lines(state)))
        if not found:
            click.echo("no branch yet; next: ingest branch apply FILE, or ingest demo")


def _state(connection: Connection, branch: Branch, holder: Holder | None, count: int) -> dict[str, Any]:
    newest = activations.newest(connection, branch.branch_id, count)
    return {
        "branch": branch.name,
        "source": branch.spec.source,
        "location": branch.spec.location,
        "held_by": _held(holder) if holder else None,
        "activations": [_told(activation, gates_of(connection, activation.activation_id)) for activation in newest],
        "next": _next(branch, newest[0] if newest else None, holder),
    }


def _held(holder: Holder) -> dict[str, Any]:
    return {
        "run": holder.run_id,
        "host": holder.host,
        "since": holder.acquired_at,
        "last_seen": holder.heartbeat_at,
        "live": not holder.expired and not leases.process_is_gone(holder),
    }


def _told(activation: Activation, gates: list[Gate]) -> dict[str, Any]:
    return {
        "activation": activation.activation_id,
        "kind": activation.kind,
        "undoes": activation.undoes,
        "state": activation.state,
        "requested_at": activation.requested_at,
        "done_at": activation.done_at,
        **{count: getattr(activation, count) for count in COUNTS},
        "error": activation.error,
        "drift": activation.told_drift,
        "gates": [{**asdict(gate), "passed": gate.passed} for gate in gates],
    }


def _next(branch: Branch, newest: Activation | None, holder: Holder | None) -> str:
    run = f"ingest run {shlex.quote(branch.name)}"
    if holder and not holder.expired and not leases.process_is_gone(holder):
        return "wait: a run is at work"
    if newest is None:
        return run
    if newest.is_open and newest.kind == "rollback":
        return f"ingest rollback {newest.undoes}   (goes on with it)"
    if newest.is_open:
        return f"{run}   (goes on with activation {newest.activation_id})"
    if newest.state in ("blocked", "refused", "failed") and newest.error:
        return str(newest.error.get("todo", run))
    return f"nothing to do; {run} ingests the branch again"


def _lines(state: dict[str, Any]) -> list[str]:
    lines = [f"{state['branch']}   source {state['source']}   {state['location']}"]
    if held := state["held_by"]:
        live = "at work" if held["live"] else "gone; the next run takes over"
        lines.append(
            f"  held by run {held['run']} on {held['host']} since {held['since']:%Y-%m-%d %H:%M:%S} UTC: {live}"
        )
    for one in state["activations"]:
        known = ", ".join(f"{count} {one[count]:,}" for count in COUNTS if one[count] is not None)
        kind = f"rollback of {one['undoes']}, " if one["undoes"] else ""
        lines.append(
            f"  activation {one['activation']}  {one['state']:<11} {one['requested_at']:%Y-%m-%d %H:%M}  {kind}{known}"
        )
        if one["error"]:
            lines.append(f"    {one['error']['code']}: {one['error']['what']}")
        lines += [f"    columns: {change}" for change in one["drift"]]
        lines += [
            f"    accepted: {gate['code']}, {gate['measured']:.1%} with a limit of {gate['limit']:.1%}, "
            f"by {gate['accepted_by']} on {gate['accepted_at']:%Y-%m-%d}: {gate['why']}"
            for gate in one["gates"]
            if gate["accepted_at"]
        ]
    return [*lines, f"  next: {state['next']}"]


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
