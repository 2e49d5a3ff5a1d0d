"""Gates shown as Dagster's asset checks: blocking, and partitioned by branch.

Checks show the gates that Postgres holds and decide nothing: a run without checks passes through the same gates.
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
    """A check per gate, partitioned by branch: otherwise the pass of one branch would release another one."""
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
    """The results of a step that has passed its gates; a gate that did not apply counts as passed."""
    gates = gates_of(work.connection, work.activation.activation_id)
    for code in codes:
        matching = _with_code(gates, code)
        yield dg.AssetCheckResult(
            check_name=code, passed=True, description=_summary(matching), metadata=_metadata(matching)
        )


def planned_results(blocked_by: Mapping[str, str]) -> Iterator[dg.AssetCheckResult]:
    """The results of a dry run: no gate stops it; they say which would block a run."""
    for code in CORE:
        message = blocked_by.get(code)
        yield dg.AssetCheckResult(
            check_name=code,
            passed=message is None,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"a dry run: {message or 'a run would pass'}",
        )


def source_results(work: Work) -> Iterator[dg.AssetCheckResult]:
    """The results of a source that was read: how old it was, and how its columns changed since the last time."""
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
    modified = [file["modified_ns"] for file in (work.activation.pin or {}).get("files", []) if file.get("modified_ns")]
    limit = work.spec.limits.max_age or "none"
    if not modified or not work.activation.pinned_at:
        return f"nothing says when it was written; the limit is {limit}"
    age = work.activation.pinned_at - datetime.fromtimestamp(max(modified) / 1e9, UTC)
    return f"written {timedelta(seconds=round(age.total_seconds()))} before it was pinned; the limit is {limit}"


def report_refused(context: dg.OutputContext, error: Refused) -> None:
    """Record the failed check of a refused source, before the step fails."""
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
    """Record which gates were passed and which block, before the step fails.

    Dagster accepts check results only from an asset's body, which does not go on after its IO manager has failed: so
    the event is written here, as Dagster itself writes it.
    """
    gates = gates_of(work.connection, work.activation.activation_id)
    for code in codes:
        matching = _with_code(gates, code)
        if matching:
            DagsterEvent.asset_check_evaluation(context.step_context, _evaluation(context, code, matching))


def _evaluation(context: dg.OutputContext, code: str, gates: list[Gate]) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=context.asset_key,
        check_name=code,
        passed=not any(gate.blocks for gate in gates),
        description=_summary(gates),
        metadata=_metadata(gates),
        partition=context.partition_key,
    )


def _with_code(gates: Iterable[Gate], code: str) -> list[Gate]:
    # A gate of one field has its name behind the code: `null_ratio.phone`.
    return [gate for gate in gates if gate.code.partition(".")[0] == code]


def _summary(gates: list[Gate]) -> str:
    messages = [f"{gate.message}{f'; accepted: {gate.why}' if gate.accepted_at else ''}" for gate in gates]
    return "; ".join(messages) or "nothing to compare with, or no limit"


def _metadata(gates: list[Gate]) -> dict[str, dg.MetadataValue[Any]]:
    worst = max(gates, key=lambda gate: gate.measured - gate.limit, default=None)
    numbers = (
        {"measured": dg.MetadataValue.float(round(worst.measured, 4)), "limit": dg.MetadataValue.float(worst.limit)}
        if worst
        else {}
    )
    rows = [
        {
            "gate": gate.code,
            "measured": gate.measured,
            "limit": gate.limit,
            "accepted by": gate.accepted_by,
            "why": gate.why,
        }
        for gate in gates
    ]
    needs_table = len(gates) > 1 or any(gate.accepted_at for gate in gates)
    return {**numbers, **({"gates": metadata.table_of(rows)} if needs_table else {})}
