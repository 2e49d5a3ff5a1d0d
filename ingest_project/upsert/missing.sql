-- name: find_missing
-- Live items of the branch that the activation does not carry. A rejected row counts as carried: its item still
-- exists at the source.
select i.item_id from core.items i
 where i.branch_id = %(branch_id)s and i.deleted_at is null
   and not exists (select from probe p where p.external_id = i.external_id)
   and not exists (select from ingest.rejects r
                    where r.activation_id = %(activation_id)s and r.external_id collate "C" = i.external_id);

-- name: count_live_items
-- How many live items the branch has.
select count(*) from core.items i where i.branch_id = %(branch_id)s and i.deleted_at is null;

-- name: count_rejected_only
-- How many of the live items the activation carries as rejects and not as valid rows, within a range of keys.
select count(distinct i.external_id)
  from ingest.rejects r
  join core.items i on i.source_id = %(source_id)s and i.external_id = r.external_id collate "C"
 where r.activation_id = %(activation_id)s and i.branch_id = %(branch_id)s and i.deleted_at is null
   and (%(low)s::text is null or i.external_id >= %(low)s::text)
   and (%(high)s::text is null or i.external_id < %(high)s::text)
   and not exists (select from probe p where p.external_id = i.external_id);
