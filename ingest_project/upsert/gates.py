"""The gates between the probe and the first row: keys that are all others, too many changes, too many tombstones."""

from ingest_project.branches import gates
from ingest_project.branches.gates import Gate
from ingest_project.branches.work import Work
from ingest_project.upsert.probe import Probe
from ingest_project.upsert.tombstones import shrinks


def measured(work: Work, found: Probe, valid: int) -> list[Gate]:
    """What the probe says of an activation of so many rows; a replay is no state of its branch."""
    if found.source_is_new or work.activation.kind != "ingest":
        return []
    kinds = {kind: sum(hits.kinds.get(kind, 0) for hits in found.hits.values()) for kind in "iur"}
    updated = kinds["u"] + kinds["r"]
    shrunk = shrinks(work, found.missing)
    judged = [_rekeyed(work, kinds["i"], found.missing.count, valid), _changed(work, updated, valid - kinds["i"])]
    return [*judged, shrunk] if shrunk else judged


def _rekeyed(work: Work, new: int, missing: int, valid: int) -> Gate:
    before = missing + valid - new
    share = min(missing / before, new / valid) if before and valid else 0.0
    what = f"{new:,} of {valid:,} keys are new, and {missing:,} of {before:,} old ones are missing"
    return Gate("rekeyed_ratio", share, work.spec.limits.of("rekeyed_ratio", before), what)


def _changed(work: Work, updated: int, known: int) -> Gate:
    what = f"{updated:,} of {known:,} items would be updated"
    share = updated / known if known else 0.0
    return Gate("change_ratio", share, work.spec.limits.of("change_ratio", known), what)


def would_block(work: Work, found: Probe, valid: int) -> dict[str, str]:
    """Gates that a run would not pass, in words; what a person has accepted is none of them."""
    known = gates.gates_of(work.connection, work.activation.activation_id)
    accepted = {gate.code for gate in known if gate.accepted_at}
    failed = [gate for gate in measured(work, found, valid) if not gate.passed and gate.code not in accepted]
    return {gate.code: gate.message for gate in failed}


def pass_gates(work: Work, found: Probe, valid: int) -> None:
    """Measure, keep, and block where a limit is passed. Raises GateBlocked; nothing is in core by then."""
    gates.pass_or_block(work, measured(work, found, valid))
