"""The gates between the probe and the first write: too many new keys, too many changes, too many tombstones."""

from ingest_project.branches import gates
from ingest_project.branches.gates import Gate
from ingest_project.branches.work import Work
from ingest_project.upsert.probe import Probe
from ingest_project.upsert.tombstones import shrink_gate


def measure_gates(work: Work, probed: Probe, valid: int) -> list[Gate]:
    """The gates of an activation with `valid` rows. None for a replay: it is not a full state of its branch."""
    if probed.source_is_new or work.activation.kind != "ingest":
        return []
    kinds = probed.kinds
    updated = kinds["u"] + kinds["r"]
    ratios = [
        _rekeyed_gate(work, kinds["i"], probed.missing.count, valid),
        _change_gate(work, updated, valid - kinds["i"]),
    ]
    shrink = shrink_gate(work, probed.missing)
    return [*ratios, shrink] if shrink else ratios


def _rekeyed_gate(work: Work, new: int, missing: int, valid: int) -> Gate:
    before = missing + valid - new
    share = min(missing / before, new / valid) if before and valid else 0.0
    what = f"{new:,} of {valid:,} keys are new, and {missing:,} of {before:,} old ones are missing"
    return Gate("rekeyed_ratio", share, work.spec.limits.of("rekeyed_ratio", before), what)


def _change_gate(work: Work, updated: int, existing: int) -> Gate:
    what = f"{updated:,} of {existing:,} items would be updated"
    share = updated / existing if existing else 0.0
    return Gate("change_ratio", share, work.spec.limits.of("change_ratio", existing), what)


def would_block(work: Work, probed: Probe, valid: int) -> dict[str, str]:
    """The gates that would stop a run: code to message. Without those that a person has accepted."""
    recorded = gates.gates_of(work.connection, work.activation.activation_id)
    accepted = {gate.code for gate in recorded if gate.accepted_at}
    failed = [gate for gate in measure_gates(work, probed, valid) if not gate.passed and gate.code not in accepted]
    return {gate.code: gate.message for gate in failed}


def pass_gates(work: Work, probed: Probe, valid: int) -> None:
    """Measure and record the gates. Raises GateBlocked where a limit is exceeded; nothing is in core by then."""
    gates.pass_or_block(work, measure_gates(work, probed, valid))
