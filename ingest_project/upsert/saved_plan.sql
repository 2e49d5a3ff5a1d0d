-- name: fingerprint_live_rows
-- The live rows that the open transaction's probe is compared with: those under its keys, and those of the branch that
-- it lacks. Of each a count and a sum of hashes, which do not depend on the order of the rows.
with carried as (
  select hash_record_extended(row(i.item_id, i.version, i.content_hash, i.source_updated_at, i.priority, i.branch_id,
                                  i.activation_id, i.deleted_at), 0)::numeric as hash
    from probe p join core.items i on i.source_id = %(source_id)s and i.external_id = p.external_id
), missing as (
  select hashint8extended(i.item_id, 0)::numeric as hash from core.items i
   where i.branch_id = %(branch_id)s and i.deleted_at is null
     and not exists (select from probe p where p.external_id = i.external_id)
)
select (select count(*) || ':' || coalesce(sum(hash), 0) from carried),
       (select count(*) || ':' || coalesce(sum(hash), 0) from missing);
