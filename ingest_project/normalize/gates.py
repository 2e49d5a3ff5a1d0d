"""The gates of normalization: rejects, duplicate keys, nulls, and how much smaller it is than the last time."""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest_project.branches import activations, gates
from ingest_project.branches.gates import Gate
from ingest_project.branches.limits import MIN_ROWS_TO_JUDGE
from ingest_project.branches.work import Work
from ingest_project.normalize import profiles, times
from ingest_project.normalize.quarantine import count_rejects

_EARLY = 10  # parts after which a hopeless activation is stopped


@dataclass(frozen=True)
class Outcome:
    """What normalization came to, in rows; `nulls` are those of each field."""

    read: int
    rejected: int
    duplicates: int
    valid: int
    items: int
    nulls: Mapping[str, int]


def measured(work: Work, outcome: Outcome) -> list[Gate]:
    """All gates of a normalized activation; a replay is a selection of rows and no state of its branch."""
    if work.activation.kind != "ingest":
        return []
    found = [_rejects(work, outcome.rejected, outcome.read), _duplicates(work, outcome), *_nulls(work, outcome)]
    return [*found, *_shrink(work, outcome)]


def _rejects(work: Work, rejected: int, read: int, first: str = "") -> Gate:
    what = f"{rejected:,} of {first}{read:,} rows were rejected"
    return Gate("reject_ratio", _share(rejected, read), work.spec.limits.of("reject_ratio", read), what)


def _duplicates(work: Work, outcome: Outcome) -> Gate:
    what = f"{outcome.duplicates:,} of {outcome.read:,} rows have the key of another row (column {work.spec.key!r})"
    limit = work.spec.limits.of("duplicate_ratio", outcome.read)
    return Gate("duplicate_ratio", _share(outcome.duplicates, outcome.read), limit, what)


def _nulls(work: Work, outcome: Outcome) -> list[Gate]:
    limits, usual = work.spec.limits, _had_by_most(work)
    return [
        Gate(
            f"null_ratio.{field}",
            _share(outcome.nulls[field], outcome.items),
            limits.of(f"null_ratio.{field}", outcome.items),
            f"{field} is null in {outcome.nulls[field]:,} of {outcome.items:,} items{usual.get(field, '')}",
        )
        for field in {**limits.max_null_ratio, **usual}
    ]


def _had_by_most(work: Work) -> dict[str, str]:
    """Fields that at least half of the items had the last time, with how many had not.

    Whatever the contract, and however it came about: a key of JSON that is gone, a column that is blank by now, values
    that are written in another way.
    """
    last = activations.last_committed(work.connection, work.branch.branch_id)
    before = profiles.find(work.connection, last.activation_id) if last else None
    if last is None or before is None or before["rows"] < MIN_ROWS_TO_JUDGE:
        return {}
    mapped = {*work.spec.mapping, *([times.FIELD] if work.spec.updated_at else [])}
    lacked = {one["column"]: one["nulls"] for one in before["columns"] if one["column"] in mapped}
    rows = before["rows"]
    return {
        field: f" where it was in {nulls:,} of {rows:,} of activation {last.activation_id}"
        for field, nulls in lacked.items()
        if nulls <= rows / 2
    }


def _shrink(work: Work, outcome: Outcome) -> list[Gate]:
    last = activations.last_committed(work.connection, work.branch.branch_id)
    if last is None or not last.valid:
        return []
    what = f"{outcome.valid:,} valid rows where activation {last.activation_id} had {last.valid:,}, a loss"
    lost = max(0.0, 1 - outcome.valid / last.valid)
    return [Gate("shrink_ratio", lost, work.spec.limits.of("shrink_ratio", last.valid), what)]


def _share(some: int, of: int) -> float:
    return some / of if of else 0.0


class RejectWatch:
    """Stops a normalization whose rejects pass their limit: from the tenth part on, not at its very end."""

    def __init__(self, work: Work, parts: int, rows: int) -> None:
        known = gates.gates_of(work.connection, work.activation.activation_id)
        self._accepted = work.activation.kind != "ingest" or any(
            gate.accepted_at for gate in known if gate.code == "reject_ratio"
        )
        self._work = work
        self._parts, self._rows = parts, rows
        self._rejected = count_rejects(work.connection, work.activation.activation_id) if parts else 0

    def count(self, rows: int, rejected: int) -> None:
        """Another part is done. Raises GateBlocked, after writing down why."""
        self._parts += 1
        self._rows += rows
        self._rejected += rejected
        if self._parts < _EARLY or self._accepted:
            return
        gate = _rejects(self._work, self._rejected, self._rows, "the first ")
        if not gate.passed:
            gates.pass_or_block(self._work, [gate])
