"""`ingest rejects replay`: rows that were set aside, taken up again."""

import json
import shlex
from uuid import uuid4

import click

from ingest_project.branches import registry
from ingest_project.cli.run import run_branch, tell
from ingest_project.cli.summary import Outcome
from ingest_project.cli.summary import as_json as summary_as_json
from ingest_project.codes import GAVE_WAY
from ingest_project.extract.store import PartStore
from ingest_project.normalize.replay import begin_replay, count_truncated
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.settings import settings


def replay_rejects(name: str, *, as_json: bool) -> int:
    """Make the replay of a branch, run it, and say what was fixed and what still fails; the exit code.

    Raises UsageError where there is nothing to replay, Locked.
    """
    ensure_migrated()
    truncated, activation = _begun(name)
    outcome = run_branch(name, activation=activation)
    if as_json:
        click.echo(json.dumps({**summary_as_json(name, outcome), "replayed": _counts(outcome), "truncated": truncated}))
    elif outcome.exit_code:
        tell(name, outcome)
    else:
        click.echo("\n".join(_lines(name, outcome, truncated)))
    return outcome.exit_code


def _begun(name: str) -> tuple[int, int]:
    with session() as connection:
        branch = registry.get_branch(connection, name)
        with leases.held(connection, branch.branch_id, name, run_id=str(uuid4())) as lease:
            store = PartStore(settings().store_location)
            work = begin_replay(connection, lease, branch, store, settings().batch_size)
        return count_truncated(connection, branch), work.activation.activation_id


def _counts(outcome: Outcome) -> dict[str, int]:
    done = outcome.activation
    if done is None or done.valid is None:
        return {}
    given_way = {code: outcome.rejects.get(code, 0) for code in GAVE_WAY}
    return {"fixed": done.valid, **given_way, "still_rejected": (done.rejected or 0) - sum(given_way.values())}


def _lines(name: str, outcome: Outcome, truncated: int) -> list[str]:
    done, counts = outcome.activation, _counts(outcome)
    assert done is not None
    lines = [
        f"\nactivation {done.activation_id} of {name!r} replayed {done.rows_read or 0:,} rows that were set aside",
        f"  fixed: {counts['fixed']:,}   (core.items: {done.inserted:,} inserted, {done.updated:,} updated, "
        f"{done.touched:,} touched, {done.unchanged:,} unchanged, {done.stale:,} stale)",
    ]
    if counts["key_superseded"]:
        lines.append(f"  superseded: {counts['key_superseded']:,}   a later activation carried their keys")
    if counts["duplicate_key"]:
        lines.append(f"  gave way: {counts['duplicate_key']:,}   to a newer row of the replay with their key")
    if counts["still_rejected"]:
        codes = [f"{code} {rows:,}" for code, rows in outcome.rejects.items() if code not in GAVE_WAY]
        lines.append(f"  still rejected: {counts['still_rejected']:,}   {', '.join(codes)}")
    if truncated:
        lines.append(
            f"  not replayed: {truncated:,}   what they said was cut when they were set aside; mend the source"
        )
    if counts["still_rejected"]:
        lines += ["", f"next: ingest rejects {shlex.quote(name)} --activation {done.activation_id}"]
    return lines
