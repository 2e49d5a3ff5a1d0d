-- name: source_is_new
-- No row of this source yet: nothing to probe, and rows may be copied straight in. `min` asks the index; for
-- `exists` the planner scans the table, and finds all other sources before this one.
select min(external_id) is null from core.items where source_id = %(source_id)s;

-- name: done_batches
-- Parts of an activation that are in core already.
select part from ingest.batches where activation_id = %(activation_id)s;

-- name: widen_memory
-- A join of a million keys in memory instead of in files, until the end of the transaction.
select set_config('work_mem', '64MB', true) where pg_size_bytes(current_setting('work_mem')) < 64 << 20;

-- name: make_probe
-- What the activation carries: keys, hashes and times only.
create temp table probe (
  part int not null, position int not null, external_id text collate "C" not null, content_hash uuid not null,
  source_updated_at timestamptz) on commit drop;

-- name: copy_probe
-- Keys of one part, in the order in which it holds them; the key last: what is as long in every row goes side by side.
copy probe (part, position, content_hash, source_updated_at, external_id) from stdin (format binary);

-- name: analyze_probe
-- The planner must know how many there are: on a guess it once ran a thousand times longer.
analyze probe (external_id);

-- name: classify_probe
-- What would happen to the rows of each part, of how many of them the branch has the live item, and the positions of
-- those that have something to do, four bytes each; without those of which it has the item and nothing is to be done.
select part, kind, count(*), sum(held),
       string_agg(int4send(position), ''::bytea) filter (where kind not in ('n', 's'))
  from (
    select p.part, p.position, {kind} as kind,
           coalesce(i.branch_id = {branch_id} and i.deleted_at is null, false)::int as held
      from probe p left join core.items i
        on i.source_id = {source_id} and i.external_id = p.external_id{within}) c
 where kind <> 'n' or held = 0 group by part, kind;

-- name: count_column_changes
-- In how many of the rows to be updated each column differs from the live row, and two keys of them.
select {counts} from stage s join core.items i on i.source_id = {source_id} and i.external_id = s.external_id
 where s.kind in ('u', 'r');

-- name: count_reworded
-- By how many of them the text changes that models embed; an item that was deleted and comes back is embedded anew.
select count(*) from stage s join core.items i on i.source_id = %(source_id)s and i.external_id = s.external_id
 where s.kind = 'r' or (s.kind = 'u' and i.embed_hash is distinct from s.embed_hash);

-- name: sample_changes
-- Some of the rows to be updated and the live rows under their keys: those named, and the first ones.
select s.external_id, to_jsonb(i), to_jsonb(s)
  from (select * from stage where kind in ('u', 'r')
         order by external_id = any(%(keys)s) desc, external_id limit cardinality(%(keys)s) + %(count)s) s
  join core.items i on i.source_id = %(source_id)s and i.external_id = s.external_id
 order by s.external_id;

-- name: read_state
-- Third act of a batch's transaction: is the activation let through, and is this part done already.
select a.state, exists (select from ingest.batches b where b.activation_id = a.activation_id and b.part = %(part)s)
  from ingest.activations a where a.activation_id = %(activation_id)s;

-- name: make_stage
-- The rows of one part that have something to do.
create temp table stage ({definitions}, kind "char", item_id bigint) on commit drop;

-- name: copy_stage
-- Rows of one part, sorted by key.
copy stage ({columns}) from stdin (format binary);

-- name: analyze_stage
-- As for the probe.
analyze stage (external_id);

-- name: judge_stage
-- What happens to each row, judged by the live row under its key; rows without one are new. Kinds, and rows of each.
-- Live rows are locked by the statement that judges them, as they are then, in the order of their ids as every writer
-- does: between a lock and a judgement of its own another branch could insert a row that is judged and not locked. A
-- row that is too young to be seen here is taken for new, stands in the way of the insert, and is judged again.
with live as materialized (
  select i.item_id, i.external_id, i.content_hash, i.deleted_at, i.source_updated_at, i.priority, i.branch_id,
         i.activation_id, i.part
    from stage s join core.items i on i.source_id = {source_id} and i.external_id = s.external_id
   where s.kind is null order by i.item_id {lock}
), judged as (
  update stage s set kind = k.kind::"char", item_id = k.item_id
    from (select p.external_id, {kind} as kind, i.item_id
            from stage p left join live i on i.external_id = p.external_id) k
   where k.external_id = s.external_id and s.kind is null returning s.kind
)
select kind::text, count(*)::int from judged group by 1;

-- name: keep_history
-- The rows as they are, before they change.
insert into core.item_versions (written_by_activation, item_id, version, op, old)
select %(activation_id)s, i.item_id, i.version + 1, case s.kind when 'r' then 'r' else 'u' end::"char", to_jsonb(i)
  from stage s join core.items i on i.source_id = %(source_id)s and i.external_id = s.external_id
 where s.kind in ('u', 'r') order by i.item_id;

-- name: update_items
-- Other content, of greater rank.
update core.items i
   set ({columns}) = ({values}), source_updated_at = s.source_updated_at, priority = %(priority)s,
       branch_id = %(branch_id)s, activation_id = %(activation_id)s, part = %(part)s, updated_at = now(),
       version = i.version + 1, deleted_at = null
  from stage s
 where s.kind in ('u', 'r') and i.source_id = %(source_id)s and i.external_id = s.external_id;

-- name: touch_items
-- The same content with a greater rank: rank and owner, and the owner's issues; no history, no version.
update core.items i
   set issues = s.issues, source_updated_at = s.source_updated_at, priority = %(priority)s, branch_id = %(branch_id)s,
       activation_id = %(activation_id)s, part = %(part)s
  from stage s
 where s.kind = 't' and i.source_id = %(source_id)s and i.external_id = s.external_id;

-- name: insert_items
-- New keys; one that another branch has just inserted is left out, and judged again.
with made as (
  insert into core.items (source_id, external_id, {columns}, source_updated_at, priority, branch_id, activation_id,
                          created_activation_id, part)
  select %(source_id)s, s.external_id, {values}, s.source_updated_at, %(priority)s, %(branch_id)s,
         %(activation_id)s, %(activation_id)s, %(part)s
    from stage s where s.kind = 'i' order by s.external_id
  on conflict do nothing returning item_id, external_id
), kept as (
  insert into core.item_versions (written_by_activation, item_id, version, op)
  select %(activation_id)s, item_id, 1, 'i' from made order by item_id
)
update stage s set item_id = m.item_id from made m where m.external_id = s.external_id;

-- name: judge_again
-- Keys that were new when judged and taken when inserted are judged a second time, and none of the others.
update stage set kind = case when kind <> 'i' or item_id is not null then upper(kind::text)::"char" end;

-- name: reserve_ids
-- Ids for rows that are copied straight in, so that their history can name them: eight bytes each, in one value.
select string_agg(int8send(nextval((select pg_get_serial_sequence('core.items', 'item_id')::regclass))), ''::bytea)
  from generate_series(1, %(count)s);

-- name: copy_items
-- New rows alone; a key that is there after all fails it, and the part goes the general way.
copy core.items (item_id, source_id, external_id, {columns}, source_updated_at, priority, branch_id, activation_id,
                 created_activation_id, part) from stdin (format binary);

-- name: copy_history
-- That they were inserted.
copy core.item_versions (written_by_activation, item_id, version, op) from stdin (format binary);

-- name: keep_batch
-- The accounting of a part, in the transaction of its rows.
insert into ingest.batches (activation_id, part, valid, inserted, updated, touched, unchanged, stale, epoch, run_id)
values (%(activation_id)s, %(part)s, %(valid)s, %(inserted)s, %(updated)s, %(touched)s, %(unchanged)s, %(stale)s,
        %(epoch)s, %(run_id)s);

-- name: mark_replayed
-- Rows that this part of a replay took up again, in the transaction of its rows: all but those that still fail.
update ingest.rejects o set replayed_by = %(activation_id)s
 where o.activation_id = %(original)s and o."row" between %(first)s and %(last)s and o.replayed_by is null
   and not o.raw_truncated and not o.errors @> '[{"code": "duplicate_key"}]'
   and not exists (select from ingest.rejects p
                    where p.activation_id = %(activation_id)s and p.part = %(part)s and p."row" = o."row"
                      and not (p.errors @> '[{"code": "duplicate_key"}]' or p.errors @> '[{"code": "key_superseded"}]'));

-- name: vacuum_items
-- After a large load, or the first unchanged run writes hint bits for every row. Statistics of the columns by which
-- rows are looked up (of deleted_at too: Postgres takes one row in two hundred for live where it has none); those of
-- the others are left to autovacuum, as it counts on where columns are named. Beside others a mere ANALYZE would do for
-- the plans, and is no cheaper to speak of: pages that all can see are not read (50,000 rows beside 500,000: 0.31 s for
-- 0.24 s), and from then on the new ones are no more read by scans of an index alone.
vacuum (analyze) core.items (source_id, external_id, branch_id, item_id, deleted_at);

-- name: analyze_history
-- As much for the block of history that was written with it: whoever reads what an activation changed asks for it.
analyze {history} (written_by_activation, item_id, op);

-- name: sample_updated
-- Some rows that an activation updated, as they were and as they are.
select i.external_id, v.old, to_jsonb(i) from core.item_versions v join core.items i using (item_id)
 where v.written_by_activation = %(activation_id)s and v.op in ('u', 'r') order by v.item_id limit %(count)s;

-- name: sample_inserted
-- Some rows that an activation inserted, as they are.
select to_jsonb(i) from core.item_versions v join core.items i using (item_id)
 where v.written_by_activation = %(activation_id)s and v.op = 'i' order by v.item_id limit %(count)s;

-- name: sample_changed_places
-- Where items are that an activation changed: op, latitude, longitude; some of them, from all over.
select v.op::text, i.latitude, i.longitude from core.item_versions v join core.items i using (item_id)
 where v.written_by_activation = %(activation_id)s and i.latitude is not null
 order by hashint8(v.item_id) limit %(count)s;

-- name: find_item
-- One item of a source, as it is.
select i.item_id, to_jsonb(i) from core.items i
 where i.source_id = %(source_id)s and i.external_id = %(external_id)s;

-- name: item_history
-- What every activation of the source did to one item, oldest first: an index probe for each of them.
select v.version, v.op::text, v.written_at, a.activation_id, b.name, a.undoes, v.old
  from ingest.activations a
  join ingest.branches b using (branch_id)
  join core.item_versions v on v.written_by_activation = a.activation_id and v.item_id = %(item_id)s
 where b.source_id = %(source_id)s order by v.version;
