"""Which of two versions of an item wins: one SQL expression, for the probe and for the locked rows alike.

Rank is (source_updated_at, branch priority), null lowest; at equal rank the newer activation wins. Within a branch
only the time counts or, where the branch file declares no `updated_at`, the order of arrival: a priority or an
`updated_at` that the file no longer declares must not freeze the rows that were written under it.

The outcome is one letter, the kind:
    i  new key: insert               u  other content, rank not lower: update    t  same content, higher rank: touch
    r  deleted, carried again        s  other content, lower rank: stale         n  nothing to do

A deleted item keeps its rank, so an older row does not bring it back. There are two exceptions: in a branch with
`missing: tombstone` it is enough that the item is carried again; and an item that a rollback withdrew has no rank, as
if it had never existed.
"""

from psycopg import sql

from ingest_project.branches.work import Work
from ingest_project.normalize.originals import originals_of
from ingest_project.upsert.missing import should_tombstone_missing

_KIND = sql.SQL(
    """case
      when i.item_id is null then 'i'
      when i.deleted_at is not null then case when {newer} or {equal} or {returned} then 'r' else 's' end
      when i.content_hash = p.content_hash
        then case when {newer} or ({equal} and i.priority <> {priority}) then 't' else 'n' end
      when {newer} or {equal} then 'u'
      else 's' end"""
)
_INCOMING_RANK = sql.SQL("(coalesce(p.source_updated_at, '-infinity'), {priority})")
_LIVE_RANK = sql.SQL(
    "({time}, case when i.branch_id = {branch} and i.priority <> {no_rank} then {priority} else i.priority end)"
)
_LIVE_TIME = sql.SQL("coalesce(i.source_updated_at, '-infinity')")
_CARRIED_AGAIN = sql.SQL("(i.branch_id = {branch} and i.activation_id <= {activation})")
_WHEN = sql.SQL("when {} then {}")
# The activation that a live row arrived with; a row written by a replay counts as arrived with the original activation.
_LIVE_ARRIVAL = sql.SQL(
    """coalesce((select (r.pin -> 'originals' -> i.part::text ->> 'activation')::bigint from ingest.activations r
                where r.activation_id = i.activation_id and r.kind = 'replay'), i.activation_id)"""
)
_NO_TIME = sql.SQL("'-infinity'::timestamptz")
NO_RANK = -32_769  # lower than any priority that a branch file may declare


def kind_expression(work: Work, part: int | None = None) -> sql.Composed:
    """The kind of a row `p` of this activation, given the live row `i` under its key: an SQL expression.

    Each part of a replay ranks as the activation that it comes from. Without `part`, its number is read from `p`.
    """
    priority, branch = sql.Literal(work.spec.priority), sql.Literal(work.branch.branch_id)
    incoming_arrival, live_arrival = _arrivals(work, part)
    incoming = _INCOMING_RANK.format(priority=priority)
    live = _LIVE_RANK.format(
        time=_LIVE_TIME if work.spec.updated_at else _NO_TIME,
        branch=branch,
        priority=priority,
        no_rank=sql.Literal(NO_RANK),
    )
    newer = sql.SQL("{} > {}").format(incoming, live)
    equal = sql.SQL("({} = {} and {} <= {})").format(incoming, live, live_arrival, incoming_arrival)
    returned = sql.SQL("false")
    if should_tombstone_missing(work):
        returned = _CARRIED_AGAIN.format(branch=branch, activation=incoming_arrival)
    return _KIND.format(newer=newer, equal=equal, returned=returned, priority=priority)


def _arrivals(work: Work, part: int | None) -> tuple[sql.Composable, sql.Composable]:
    """The activations that the incoming row and the live row arrived with, as SQL."""
    originals = {number: original.activation for number, original in originals_of(work.activation).items()}
    if not originals:
        return sql.Literal(work.activation.activation_id), sql.SQL("i.activation_id")
    if part is not None:
        return sql.Literal(originals[part]), _LIVE_ARRIVAL
    whens = [_WHEN.format(sql.Literal(number), sql.Literal(original)) for number, original in originals.items()]
    return sql.SQL("case p.part {} end").format(sql.SQL(" ").join(whens)), _LIVE_ARRIVAL
