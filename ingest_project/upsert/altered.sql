-- name: copy_items_out
-- Live items of a range of ids with all that is hashed. In CSV a null is nothing, an empty text is quoted.
copy (
  select i.item_id, i.external_id, b.name as branch, i.version, i.content_hash, i.embed_hash, {columns}, i.attributes
    from core.items i join ingest.branches b using (branch_id)
   where i.item_id > {after} and i.item_id <= {upto} and i.deleted_at is null
     and ({branch_id}::int is null or i.branch_id = {branch_id})
) to stdout (format csv);

-- name: repair_hashes
-- New hashes for items that have not been written since they were read.
update core.items i set content_hash = m.content_hash, embed_hash = m.embed_hash
  from unnest(%(item_ids)s::bigint[], %(versions)s::int[], %(content)s::uuid[], %(embed)s::uuid[])
       as m (item_id, version, content_hash, embed_hash)
 where i.item_id = m.item_id and i.version = m.version and i.deleted_at is null;
