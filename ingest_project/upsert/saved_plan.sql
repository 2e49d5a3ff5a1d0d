-- name: live_rows
-- What the open transaction's probe was judged against: the rows under its keys, and the rows of the branch that it
-- lacks; a count and a sum of hashes each, whatever their order.
with carried as (
  select hash_record_extended(row(i.item_id, i.version, i.content_hash, i.source_updated_at, i.priority, i.branch_id,
                                  i.activation_id, i.deleted_at), 0)::numeric as said
    from probe p join core.items i on i.source_id = %(source_id)s and i.external_id = p.external_id
), missing as (
  select hashint8extended(i.item_id, 0)::numeric as said from core.items i
   where i.branch_id = %(branch_id)s and i.deleted_at is null
     and not exists (select from probe p where p.external_id = i.external_id)
)
select (select count(*) || ':' || coalesce(sum(said), 0) from carried),
       (select count(*) || ':' || coalesce(sum(said), 0) from missing);
