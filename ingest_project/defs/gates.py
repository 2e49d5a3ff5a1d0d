"""The gates as asset checks: of the step that they gate, blocking, and one per branch.

They show what Postgres holds and decide nothing: a run without checks, or of `core_items` alone, meets the same gates.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import DagsterEvent

from ingest_project.branches.gates import Gate, gates_of
from ingest_project.branches.work import Work
from ingest_project.codes import GATES, Code
from ingest_project.defs import metadata
from ingest_project.defs.partitions import branch_partitions
from ingest_project.errors import ColumnsMissing, Refused, SourceStale

SNAPSHOT = ("freshness", "contract")
NORMALIZED = ("reject_ratio", "duplicate_ratio", "null_ratio", "shrink_ratio")
CORE = ("rekeyed_ratio", "change_ratio")


def specs(asset: str, codes: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """A check per code. Partitioned: without it one branch's pass would release another's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                code,
                asset=asset,
                description=_description(GATES[code]),
                blocking=True,
                partitions_def=branch_partitions,
            )
            for code in codes
        ]


def _description(code: Code) -> str:
    return f"Stops a branch of which this is true: {code.meaning}. What to do then: {code.remedy}."


def results(work: Work, codes: Iterable[str]) -> Iterator[dg.AssetCheckResult]:
    """What each gate came to, of a step that has passed its gates; one that did not apply passed."""
    gates = gates_of(work.connection, work.activation.activation_id)
    for code in codes:
        mine = _of(gates, code)
        yield dg.AssetCheckResult(check_name=code, passed=True, description=_words(mine), metadata=_metadata(mine))


def planned_results(blocked_by: Mapping[str, str]) -> Iterator[dg.AssetCheckResult]:
    """Of a dry run, which stops at nothing: what would stop a run."""
    for code in CORE:
        words = blocked_by.get(code)
        yield dg.AssetCheckResult(
            check_name=code,
            passed=words is None,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"a dry run: {words or 'a run would pass'}",
        )


def source_results(work: Work) -> Iterator[dg.AssetCheckResult]:
    """Of a source that was taken: how old it was, and what is new about its columns, which is no reason to stop."""
    drift = work.activation.drift or {"contract": work.spec.contract, "changes": []}
    words = "; ".join(change["what"] for change in drift["changes"])
    accepted = {
        gate.code: f"; accepted: {gate.why}"
        for gate in gates_of(work.connection, work.activation.activation_id)
        if gate.accepted_at
    }
    age = _age(work) + accepted.get("freshness", "")
    yield dg.AssetCheckResult(check_name="freshness", passed=True, description=age)
    yield dg.AssetCheckResult(
        check_name="contract",
        passed=not words or drift["contract"] == "evolve",
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{drift['contract']}: {words or 'the same columns as the last time, or the first time'}"
        + accepted.get("contract", ""),
        metadata={"changes": metadata.table_of(drift["changes"])} if words else None,
    )


def _age(work: Work) -> str:
    written = [file["modified_ns"] for file in (work.activation.pin or {}).get("files", []) if file.get("modified_ns")]
    limit = work.spec.limits.max_age or "none"
    if not written or not work.activation.pinned_at:
        return f"nothing says when it was written; the limit is {limit}"
    age = work.activation.pinned_at - datetime.fromtimestamp(max(written) / 1e9, UTC)
    return f"written {timedelta(seconds=round(age.total_seconds()))} before it was pinned; the limit is {limit}"


def report_refused(context: dg.OutputContext, error: Refused) -> None:
    """Show why a source was refused, before the step fails."""
    code = "freshness" if isinstance(error, SourceStale) else "contract"
    if isinstance(error, SourceStale | ColumnsMissing):
        DagsterEvent.asset_check_evaluation(
            context.step_context,
            dg.AssetCheckEvaluation(
                asset_key=context.asset_key,
                check_name=code,
                passed=False,
                description=error.what,
                metadata={},
                partition=context.partition_key,
            ),
        )


def report_blocked(context: dg.OutputContext, work: Work, codes: Iterable[str]) -> None:
    """Show which gates were passed and which block, before the step fails.

    Dagster takes results from an asset's body only, which a failing IO manager never comes back to: so the event is
    written as Dagster itself writes it.
    """
    gates = gates_of(work.connection, work.activation.activation_id)
    for code in codes:
        mine = _of(gates, code)
        if mine:
            DagsterEvent.asset_check_evaluation(context.step_context, _evaluation(context, code, mine))


def _evaluation(context: dg.OutputContext, code: str, mine: list[Gate]) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=context.asset_key,
        check_name=code,
        passed=not any(gate.blocks for gate in mine),
        description=_words(mine),
        metadata=_metadata(mine),
        partition=context.partition_key,
    )


def _of(gates: Iterable[Gate], code: str) -> list[Gate]:
    return [gate for gate in gates if gate.code.partition(".")[0] == code]


def _words(mine: list[Gate]) -> str:
    words = [f"{gate.message}{f'; accepted: {gate.why}' if gate.accepted_at else ''}" for gate in mine]
    return "; ".join(words) or "nothing to compare with, or no limit"


def _metadata(mine: list[Gate]) -> dict[str, dg.MetadataValue[Any]]:
    worst = max(mine, key=lambda gate: gate.measured - gate.limit, default=None)
    numbers = (
        {"measured": dg.MetadataValue.float(round(worst.measured, 4)), "limit": dg.MetadataValue.float(worst.limit)}
        if worst
        else {}
    )
    rows = [
        {"gate": one.code, "measured": one.measured, "limit": one.limit, "accepted by": one.accepted_by, "why": one.why}
        for one in mine
    ]
    tells_more = len(mine) > 1 or any(one.accepted_at for one in mine)
    return {**numbers, **({"gates": metadata.table_of(rows)} if tells_more else {})}
