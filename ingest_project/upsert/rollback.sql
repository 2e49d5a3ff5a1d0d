-- name: branch_of
-- The branch of an activation.
select b.name from ingest.activations a join ingest.branches b using (branch_id)
 where a.activation_id = %(activation_id)s;

-- name: history_exists
-- Whether the block of history that an activation wrote to still exists, and if not, when it was pruned.
select to_regclass('core.item_versions_' || to_char(%(undoes)s::bigint / 1000, 'FM000000')) is not null,
       (select max(p.pruned_at) from ingest.prunings p
         where p.what = 'history' and %(undoes)s between p.first_activation and p.last_activation);

-- name: count_recorded_changes
-- How many changes an activation has recorded; where it did not finish, by its batch rows.
select coalesce(a.inserted + a.updated + coalesce(a.tombstoned, 0),
                (select sum(b.inserted + b.updated) from ingest.batches b where b.activation_id = a.activation_id), 0)
  from ingest.activations a where a.activation_id = %(undoes)s;

-- name: count_changes_by_op
-- How many items an activation inserted, updated and so on, by its first change of each item.
select op::text, count(*) from (
  select distinct on (item_id) op from core.item_versions
   where written_by_activation = %(undoes)s order by item_id, version) first_change
 group by op;

-- name: changed_by
-- An expression: the activation that has changed item `i` after %(undoes)s did; null where none has. Activations whose
-- rollback is complete do not count.
case
  when i.activation_id = %(undoes)s then null
  when not exists (select from ingest.activations r where r.undoes = i.activation_id and r.committed_at is not null)
    then i.activation_id
  else (select min(a.activation_id)
          from ingest.activations a
          join ingest.branches b on b.branch_id = a.branch_id and b.source_id = i.source_id
          join core.item_versions v on v.written_by_activation = a.activation_id and v.item_id = i.item_id
         where v.version > u.version and a.kind <> 'rollback' and a.activation_id <> %(undoes)s
           and not exists (select from ingest.activations r
                            where r.undoes = a.activation_id and r.committed_at is not null))
end

-- name: changed_later
-- Items that were changed again after an activation changed them, the latest activation first; and how many there are.
select count(*) over (), c.external_id, c.changed_by from (
  select i.external_id, {changed_by} as changed_by
    from (select item_id, max(version) as version from core.item_versions
           where written_by_activation = %(undoes)s group by item_id) u
    join core.items i on i.item_id = u.item_id and i.source_id = %(source_id)s) c
 where c.changed_by is not null order by c.changed_by desc, c.external_id limit %(count)s;

-- name: items_to_undo
-- The items that an activation changed, some at a time.
select distinct item_id from core.item_versions
 where written_by_activation = %(undoes)s and item_id > %(after)s order by item_id limit %(count)s;

-- name: make_undo
-- For some items: the first operation of an activation, the row before it, and the last version that it wrote.
create temp table undo on commit drop as
select f.item_id, f.op, f.old, (f.old ->> 'external_id') collate "C" as external_id, l.version, null::jsonb as now,
       false as done
  from (select distinct on (item_id) item_id, op, old from core.item_versions
         where written_by_activation = %(undoes)s and item_id = any(%(ids)s::bigint[]) order by item_id, version) f
  join (select item_id, max(version) as version from core.item_versions
         where written_by_activation = %(undoes)s and item_id = any(%(ids)s::bigint[]) group by item_id) l
    using (item_id);

-- name: name_inserted
-- The keys of inserted items, whose history has no old row. They are needed since deleted items are found only by key.
update undo u set external_id = i.external_id from core.items i
 where u.external_id is null and i.item_id = u.item_id and i.deleted_at is null;

-- name: analyze_undo
-- The planner must know how many rows there are.
analyze undo;

-- name: lock_to_undo
-- The items, locked in the order of their ids as every writer does.
select count(*) from (
  select i.item_id from undo u join core.items i on i.source_id = %(source_id)s and i.external_id = u.external_id
   order by i.item_id for no key update of i) locked;

-- name: classify_undo
-- Items that have not been changed again; checked anew, as another activation may have come before the lock.
update undo u set done = true, now = to_jsonb(i) from core.items i
 where i.source_id = %(source_id)s and i.external_id = u.external_id and i.item_id = u.item_id
   and {changed_by} is null;

-- name: record_undone
-- The history of the rollback: the items as they are, before they are undone.
insert into core.item_versions (written_by_activation, item_id, version, op, old)
select %(activation_id)s, u.item_id, (u.now ->> 'version')::int + 1,
       case when u.op = 'i' or u.old ->> 'deleted_at' is not null then 'd'
            when u.now ->> 'deleted_at' is not null then 'r' else 'u' end::"char", u.now
  from undo u where u.done order by u.item_id;

-- name: restore
-- Content, rank and owner become what they were; only the version is increased.
update core.items i
   set ({columns}) = ({values}), version = i.version + 1, updated_at = now()
  from undo u cross join lateral jsonb_populate_record(null::core.items, u.now || u.old) r
 where u.done and u.op <> 'i' and i.source_id = %(source_id)s and i.external_id = u.external_id;

-- name: withdraw
-- Inserted items are deleted, and lose their rank, so that whatever carries the key brings them back. The row and its
-- id stay, for the history and for whoever has stored the id.
update core.items i
   set deleted_at = now(), updated_at = now(), version = i.version + 1, activation_id = %(activation_id)s,
       source_updated_at = null, priority = %(no_rank)s
  from undo u
 where u.done and u.op = 'i' and i.source_id = %(source_id)s and i.external_id = u.external_id;

-- name: reopen_replayed_rejects
-- Where a replay is rolled back: its rejects are open again, for the next replay.
update ingest.rejects o set replayed_by = null
  from ingest.activations a
 where a.branch_id = %(branch_id)s and o.activation_id = a.activation_id and o.replayed_by = %(undoes)s
   and exists (select from ingest.activations u where u.activation_id = %(undoes)s and u.kind = 'replay');

-- name: count_undone
-- How many items there were, and how many of them were undone.
select count(*)::int, (count(*) filter (where done))::int from undo;

-- name: count_withdrawn
-- How many items a rollback deleted.
select count(*) from core.item_versions where written_by_activation = %(activation_id)s and op = 'd';
