"""The gates of normalization: limits for rejects, duplicate keys, nulls, and shrinking since the last activation."""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest_project.branches import activations, gates
from ingest_project.branches.gates import Gate
from ingest_project.branches.limits import MIN_ROWS_TO_JUDGE
from ingest_project.branches.work import Work
from ingest_project.normalize import profiles, times
from ingest_project.normalize.quarantine import count_rejects

_MIN_PARTS = 10  # to judge an activation by its first rejects


@dataclass(frozen=True)
class Outcome:
    """The result of normalization in numbers of rows; `nulls` by field."""

    read: int
    rejected: int
    duplicates: int
    valid: int
    items: int
    nulls: Mapping[str, int]


def measured(work: Work, outcome: Outcome) -> list[Gate]:
    """The gates of a normalized activation; none for a replay, whose rows are only a selection."""
    if work.activation.kind != "ingest":
        return []
    return [
        _reject_gate(work, outcome.rejected, outcome.read),
        _duplicate_gate(work, outcome),
        *_null_gates(work, outcome),
        *_shrink_gates(work, outcome),
    ]


def _reject_gate(work: Work, rejected: int, read: int, first: str = "") -> Gate:
    what = f"{rejected:,} of {first}{read:,} rows were rejected"
    return Gate("reject_ratio", _ratio(rejected, read), work.spec.limits.of("reject_ratio", read), what)


def _duplicate_gate(work: Work, outcome: Outcome) -> Gate:
    what = f"{outcome.duplicates:,} of {outcome.read:,} rows have the key of another row (column {work.spec.key!r})"
    limit = work.spec.limits.of("duplicate_ratio", outcome.read)
    return Gate("duplicate_ratio", _ratio(outcome.duplicates, outcome.read), limit, what)


def _null_gates(work: Work, outcome: Outcome) -> list[Gate]:
    limits, usually_filled = work.spec.limits, _usually_filled(work)
    return [
        Gate(
            f"null_ratio.{field}",
            _ratio(outcome.nulls[field], outcome.items),
            limits.of(f"null_ratio.{field}", outcome.items),
            f"{field} is null in {outcome.nulls[field]:,} of {outcome.items:,} items{usually_filled.get(field, '')}",
        )
        for field in {**limits.max_null_ratio, **usually_filled}
    ]


def _usually_filled(work: Work) -> dict[str, str]:
    """The fields that at least half of the last activation's items had, and how many had not, in words.

    A field can be lost although the contract is kept: a key of JSON is gone, a column is blank now, or values are
    written in another way.
    """
    last = activations.last_committed(work.connection, work.branch.branch_id)
    profile = profiles.find(work.connection, last.activation_id) if last else None
    if last is None or profile is None or profile["rows"] < MIN_ROWS_TO_JUDGE:
        return {}
    mapped = {*work.spec.mapping, *([times.FIELD] if work.spec.updated_at else [])}
    rows = profile["rows"]
    return {
        column["column"]: f" where it was in {column['nulls']:,} of {rows:,} of activation {last.activation_id}"
        for column in profile["columns"]
        if column["column"] in mapped and column["nulls"] <= rows / 2
    }


def _shrink_gates(work: Work, outcome: Outcome) -> list[Gate]:
    last = activations.last_committed(work.connection, work.branch.branch_id)
    if last is None or not last.valid:
        return []
    what = f"{outcome.valid:,} valid rows where activation {last.activation_id} had {last.valid:,}, a loss"
    loss = max(0.0, 1 - outcome.valid / last.valid)
    return [Gate("shrink_ratio", loss, work.spec.limits.of("shrink_ratio", last.valid), what)]


def _ratio(count: int, total: int) -> float:
    return count / total if total else 0.0


class RejectWatch:
    """Stops a normalization with too many rejects early: from the tenth part on, instead of at its end.

    `parts` and `rows` are those that an earlier attempt has normalized.
    """

    def __init__(self, work: Work, parts: int, rows: int) -> None:
        recorded = gates.gates_of(work.connection, work.activation.activation_id)
        self._accepted = work.activation.kind != "ingest" or any(
            gate.accepted_at for gate in recorded if gate.code == "reject_ratio"
        )
        self._work = work
        self._parts, self._rows = parts, rows
        self._rejected = count_rejects(work.connection, work.activation.activation_id) if parts else 0

    def count(self, rows: int, rejected: int) -> None:
        """Count another part. Raises GateBlocked if there are too many rejects, after recording the gate."""
        self._parts += 1
        self._rows += rows
        self._rejected += rejected
        if self._parts < _MIN_PARTS or self._accepted:
            return
        gate = _reject_gate(self._work, self._rejected, self._rows, "the first ")
        if not gate.passed:
            gates.pass_or_block(self._work, [gate])
