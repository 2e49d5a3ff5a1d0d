-- name: count_live_items
-- What the share of missing items is measured against.
select count(*) from core.items where branch_id = %(branch_id)s and deleted_at is null;

-- name: count_tombstones
-- How many items an activation has tombstoned already, by its history.
select count(*) from core.item_versions where written_by_activation = %(activation_id)s and op = 'd';

-- name: lock_missing
-- The items to be tombstoned, locked in the order of their ids as every writer does.
select count(*) from (
  select item_id from core.items
   where item_id = any(%(ids)s::bigint[]) and branch_id = %(branch_id)s and deleted_at is null
   order by item_id for no key update) locked;

-- name: record_tombstones
-- The items as they are, before they are tombstoned.
insert into core.item_versions (written_by_activation, item_id, version, op, old)
select %(activation_id)s, i.item_id, i.version + 1, 'd', to_jsonb(i) from core.items i
 where i.item_id = any(%(ids)s::bigint[]) and i.branch_id = %(branch_id)s and i.deleted_at is null
 order by i.item_id;

-- name: tombstone
-- Gone from the source. Content and rank stay, so that an older row from another branch does not revive the item.
update core.items
   set deleted_at = now(), updated_at = now(), version = version + 1, activation_id = %(activation_id)s
 where item_id = any(%(ids)s::bigint[]) and branch_id = %(branch_id)s and deleted_at is null;
