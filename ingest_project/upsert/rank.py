"""What decides between two versions of an item, once, for the probe and for the locked rows alike.

Rank is (source_updated_at, branch priority), null lowest; at equal rank the newer activation wins. Within a branch
only time decides, and where its file declares none, arrival: a priority or an `updated_at` that the file no longer
says must not freeze the rows that were written under it.
    i  new key                       u  other content, rank not lesser      t  same content, other rank, not lesser
    r  deleted, and carried again    s  other content, lesser rank: stale   n  nothing to do
A deleted item keeps its rank: a row of an older time does not bring it back, unless its branch, by `missing:
tombstone`, says what there is: then that it is carried again is enough. What a rollback withdrew has no rank: it is
as if it had never been there.
"""

from psycopg import sql

from ingest_project.branches.work import Work
from ingest_project.normalize.originals import originals_of
from ingest_project.upsert.missing import are_tombstoned

_KIND = sql.SQL(
    """case
      when i.item_id is null then 'i'
      when i.deleted_at is not null then case when {newer} or {equal} or {returned} then 'r' else 's' end
      when i.content_hash = p.content_hash
        then case when {newer} or ({equal} and i.priority <> {priority}) then 't' else 'n' end
      when {newer} or {equal} then 'u'
      else 's' end"""
)
_OURS = sql.SQL("(coalesce(p.source_updated_at, '-infinity'), {priority})")
_LIVE = sql.SQL(
    "({time}, case when i.branch_id = {branch} and i.priority <> {no_rank} then {priority} else i.priority end)"
)
_TIME = sql.SQL("coalesce(i.source_updated_at, '-infinity')")
_RETURNED = sql.SQL("(i.branch_id = {branch} and i.activation_id <= {activation})")
_WHEN = sql.SQL("when {} then {}")
_ARRIVED = sql.SQL(
    """coalesce((select (r.pin -> 'originals' -> i.part::text ->> 'activation')::bigint from ingest.activations r
                where r.activation_id = i.activation_id and r.kind = 'replay'), i.activation_id)"""
)
_NO_TIME = sql.SQL("'-infinity'::timestamptz")
NO_RANK = -32_769  # less than any priority that a branch file may declare


def kind_of(work: Work, part: int | None = None) -> sql.Composed:
    """What happens to row `p` of this activation, given live row `i`: an SQL expression.

    Of a replay each part ranks as the activation that it comes from; where `part` is not given, `p` has its number.
    """
    priority, branch = sql.Literal(work.spec.priority), sql.Literal(work.branch.branch_id)
    activation, arrived = _arrivals(work, part)
    ours = _OURS.format(priority=priority)
    live = _LIVE.format(
        time=_TIME if work.spec.updated_at else _NO_TIME, branch=branch, priority=priority, no_rank=sql.Literal(NO_RANK)
    )
    newer = sql.SQL("{ours} > {live}").format(ours=ours, live=live)
    equal = sql.SQL("({ours} = {live} and {arrived} <= {activation})").format(
        ours=ours, live=live, activation=activation, arrived=arrived
    )
    returned = _RETURNED.format(branch=branch, activation=activation) if are_tombstoned(work) else sql.SQL("false")
    return _KIND.format(newer=newer, equal=equal, returned=returned, priority=priority)


def _arrivals(work: Work, part: int | None) -> tuple[sql.Composable, sql.Composable]:
    """By what activation a row of ours came, and the live one."""
    originals = {number: one.activation for number, one in originals_of(work.activation).items()}
    if not originals:
        return sql.Literal(work.activation.activation_id), sql.SQL("i.activation_id")
    if part is not None:
        return sql.Literal(originals[part]), _ARRIVED
    whens = [_WHEN.format(sql.Literal(number), sql.Literal(original)) for number, original in originals.items()]
    return sql.SQL("case p.part {} end").format(sql.SQL(" ").join(whens)), _ARRIVED
