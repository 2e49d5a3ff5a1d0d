"""What decides between two versions of an item, once, for the probe and for the locked rows alike.

Rank is (source_updated_at, branch priority), null lowest; at equal rank the newer activation wins. Within a branch
only time decides, and where its file declares none, arrival: a priority or an `updated_at` that the file no longer
says must not freeze the rows that were written under it.
    i  new key                       u  other content, rank not lesser      t  same content, other rank, not lesser
    r  deleted, and carried again    s  other content, lesser rank: stale   n  nothing to do
"""

from psycopg import sql

from ingest_project.branches.work import Work

_KIND = sql.SQL(
    """case
      when i.item_id is null then 'i'
      when i.deleted_at is not null then case when {newer} or {equal} then 'r' else 's' end
      when i.content_hash = p.content_hash
        then case when {newer} or ({equal} and i.priority <> {priority}) then 't' else 'n' end
      when {newer} or {equal} then 'u'
      else 's' end"""
)
_OURS = sql.SQL("(coalesce(p.source_updated_at, '-infinity'), {priority})")
_LIVE = sql.SQL("({time}, case i.branch_id when {branch} then {priority} else i.priority end)")
_TIME = sql.SQL("coalesce(i.source_updated_at, '-infinity')")
_NO_TIME = sql.SQL("'-infinity'::timestamptz")


def kind_of(work: Work) -> sql.Composed:
    """What happens to row `p` of this activation, given live row `i`: an SQL expression."""
    priority = sql.Literal(work.spec.priority)
    ours = _OURS.format(priority=priority)
    live = _LIVE.format(
        time=_TIME if work.spec.updated_at else _NO_TIME, branch=sql.Literal(work.branch.branch_id), priority=priority
    )
    newer = sql.SQL("{ours} > {live}").format(ours=ours, live=live)
    equal = sql.SQL("({ours} = {live} and i.activation_id <= {activation})").format(
        ours=ours, live=live, activation=sql.Literal(work.activation.activation_id)
    )
    return _KIND.format(newer=newer, equal=equal, priority=priority)
