-- name: source_is_new
-- Whether the source has no row yet: then there is nothing to probe, and rows are copied straight in. `min` uses the
-- index; for `exists` the planner scans the table, through the rows of all other sources.
select min(external_id) is null from core.items where source_id = %(source_id)s;

-- name: done_parts
-- Parts of an activation that are in core already.
select part from ingest.batches where activation_id = %(activation_id)s;

-- name: widen_memory
-- So that a join of a million keys stays in memory; until the end of the transaction.
select set_config('work_mem', '64MB', true) where pg_size_bytes(current_setting('work_mem')) < 64 << 20;

-- name: make_probe
-- The keys of an activation with their hashes and times.
create temp table probe (
  part int not null, position int not null, external_id text collate "C" not null, content_hash uuid not null,
  source_updated_at timestamptz) on commit drop;

-- name: copy_probe
-- The keys of one part in its row order. The key column comes last, so that those of fixed width are side by side.
copy probe (part, position, content_hash, source_updated_at, external_id) from stdin (format binary);

-- name: analyze_probe
-- The planner must know how many rows there are: with its default guess a probe once took a thousand times as long.
analyze probe (external_id);

-- name: classify_probe
-- By part and kind: how many rows, for how many of them the branch has the live item, and the positions of the rows to
-- be written, four bytes each. Rows that are unchanged and whose item the branch has are left out: they are the bulk.
select part, kind, count(*), sum(held),
       string_agg(int4send(position), ''::bytea) filter (where kind not in ('n', 's'))
  from (
    select p.part, p.position, {kind} as kind,
           coalesce(i.branch_id = {branch_id} and i.deleted_at is null, false)::int as held
      from probe p left join core.items i
        on i.source_id = {source_id} and i.external_id = p.external_id{within}) c
 where kind <> 'n' or held = 0 group by part, kind;

-- name: count_column_changes
-- For each column: in how many of the rows to be updated it differs from the live row, and two keys of those.
select {counts} from stage s join core.items i on i.source_id = {source_id} and i.external_id = s.external_id
 where s.kind in ('u', 'r');

-- name: count_reworded
-- How many of the updates change the text that models embed. An item that was deleted and comes back counts as well.
select count(*) from stage s join core.items i on i.source_id = %(source_id)s and i.external_id = s.external_id
 where s.kind = 'r' or (s.kind = 'u' and i.embed_hash is distinct from s.embed_hash);

-- name: sample_changes
-- The rows to be updated that `keys` names, and the first others, each with the live row under its key.
select s.external_id, to_jsonb(i), to_jsonb(s)
  from (select * from stage where kind in ('u', 'r')
         order by external_id = any(%(keys)s) desc, external_id limit cardinality(%(keys)s) + %(count)s) s
  join core.items i on i.source_id = %(source_id)s and i.external_id = s.external_id
 order by s.external_id;

-- name: read_state
-- The state of the activation, and whether this part is done already.
select a.state, exists (select from ingest.batches b where b.activation_id = a.activation_id and b.part = %(part)s)
  from ingest.activations a where a.activation_id = %(activation_id)s;

-- name: make_stage
-- The rows of one part that are to be written.
create temp table stage ({definitions}, kind "char", item_id bigint) on commit drop;

-- name: copy_stage
-- Rows of one part, sorted by key.
copy stage ({columns}) from stdin (format binary);

-- name: analyze_stage
-- As for the probe.
analyze stage (external_id);

-- name: classify_stage
-- The kind of each row, by the live row under its key; rows without one are new. Returns the kinds with their counts.
-- One statement locks the live rows and classifies by them, in the order of their ids as every writer does: if these
-- were two, another branch could insert a row in between, which would be classified by and not locked. A row that is
-- committed too late to be seen here makes the insert conflict, and the key is classified again.
with live as materialized (
  select i.item_id, i.external_id, i.content_hash, i.deleted_at, i.source_updated_at, i.priority, i.branch_id,
         i.activation_id, i.part
    from stage s join core.items i on i.source_id = {source_id} and i.external_id = s.external_id
   where s.kind is null order by i.item_id {lock}
), classified as (
  update stage s set kind = k.kind::"char", item_id = k.item_id
    from (select p.external_id, {kind} as kind, i.item_id
            from stage p left join live i on i.external_id = p.external_id) k
   where k.external_id = s.external_id and s.kind is null returning s.kind
)
select kind::text, count(*)::int from classified group by 1;

-- name: record_history
-- The rows as they are, before they change.
insert into core.item_versions (written_by_activation, item_id, version, op, old)
select %(activation_id)s, i.item_id, i.version + 1, case s.kind when 'r' then 'r' else 'u' end::"char", to_jsonb(i)
  from stage s join core.items i on i.source_id = %(source_id)s and i.external_id = s.external_id
 where s.kind in ('u', 'r') order by i.item_id;

-- name: update_items
-- Rows with other content and no lower rank.
update core.items i
   set ({columns}) = ({values}), source_updated_at = s.source_updated_at, priority = %(priority)s,
       branch_id = %(branch_id)s, activation_id = %(activation_id)s, part = %(part)s, updated_at = now(),
       version = i.version + 1, deleted_at = null
  from stage s
 where s.kind in ('u', 'r') and i.source_id = %(source_id)s and i.external_id = s.external_id;

-- name: touch_items
-- The same content with a higher rank: only rank, owner and the owner's issues change; no history, no new version.
update core.items i
   set issues = s.issues, source_updated_at = s.source_updated_at, priority = %(priority)s, branch_id = %(branch_id)s,
       activation_id = %(activation_id)s, part = %(part)s
  from stage s
 where s.kind = 't' and i.source_id = %(source_id)s and i.external_id = s.external_id;

-- name: insert_items
-- New keys. One that another branch has just inserted is skipped, and classified again.
with inserted as (
  insert into core.items (source_id, external_id, {columns}, source_updated_at, priority, branch_id, activation_id,
                          created_activation_id, part)
  select %(source_id)s, s.external_id, {values}, s.source_updated_at, %(priority)s, %(branch_id)s,
         %(activation_id)s, %(activation_id)s, %(part)s
    from stage s where s.kind = 'i' order by s.external_id
  on conflict do nothing returning item_id, external_id
), recorded as (
  insert into core.item_versions (written_by_activation, item_id, version, op)
  select %(activation_id)s, item_id, 1, 'i' from inserted order by item_id
)
update stage s set item_id = n.item_id from inserted n where n.external_id = s.external_id;

-- name: reset_conflicting_inserts
-- New keys that conflicted when they were inserted get no kind, to be classified again; the kinds of all others are
-- put in upper case, which marks them as done.
update stage set kind = case when kind <> 'i' or item_id is not null then upper(kind::text)::"char" end;

-- name: reserve_ids
-- Ids for rows that are copied straight in: their history needs them beforehand. One value, eight bytes an id.
select string_agg(int8send(nextval((select pg_get_serial_sequence('core.items', 'item_id')::regclass))), ''::bytea)
  from generate_series(1, %(count)s);

-- name: copy_items
-- New rows. A key that exists after all makes it fail; the part is then written by way of the stage table.
copy core.items (item_id, source_id, external_id, {columns}, source_updated_at, priority, branch_id, activation_id,
                 created_activation_id, part) from stdin (format binary);

-- name: copy_history
-- The history of rows that were copied in.
copy core.item_versions (written_by_activation, item_id, version, op) from stdin (format binary);

-- name: record_batch
-- The batch row of a part, in the transaction of its items: the counts, and that it is done.
insert into ingest.batches (activation_id, part, valid, inserted, updated, touched, unchanged, stale, epoch, run_id)
values (%(activation_id)s, %(part)s, %(valid)s, %(inserted)s, %(updated)s, %(touched)s, %(unchanged)s, %(stale)s,
        %(epoch)s, %(run_id)s);

-- name: mark_replayed
-- The rejects that this part of a replay has brought in, in the transaction of its items: all but those that are
-- rejected again.
update ingest.rejects o set replayed_by = %(activation_id)s
 where o.activation_id = %(original)s and o."row" between %(first)s and %(last)s and o.replayed_by is null
   and not o.raw_truncated and not o.errors @> '[{"code": "duplicate_key"}]'
   and not exists (select from ingest.rejects p
                    where p.activation_id = %(activation_id)s and p.part = %(part)s and p."row" = o."row"
                      and not (p.errors @> '[{"code": "duplicate_key"}]' or p.errors @> '[{"code": "key_superseded"}]'));

-- name: vacuum_items
-- After a large load: otherwise the first unchanged run writes hint bits for every row. It analyzes the columns by
-- which rows are looked up (deleted_at too: without statistics Postgres takes one row in two hundred for live) and
-- leaves the others to autovacuum. Where the table has many other rows, ANALYZE alone would do for the plans, but
-- VACUUM costs little more, as it skips pages that are visible to all (50,000 rows beside 500,000: 0.31 s against
-- 0.24 s), and it makes index-only scans of the new rows possible.
vacuum (analyze) core.items (source_id, external_id, branch_id, item_id, deleted_at);

-- name: analyze_history
-- The same for the block of history that was written with it, for queries of what an activation changed.
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
-- Op and coordinates of a random sample of the items that an activation changed.
select v.op::text, i.latitude, i.longitude from core.item_versions v join core.items i using (item_id)
 where v.written_by_activation = %(activation_id)s and i.latitude is not null
 order by hashint8(v.item_id) limit %(count)s;

-- name: find_item
-- One item of a source, as it is.
select i.item_id, to_jsonb(i) from core.items i
 where i.source_id = %(source_id)s and i.external_id = %(external_id)s;

-- name: changes_of_item
-- What the activations of a source did to one item, oldest first. One index probe for each activation.
select v.version, v.op::text, v.written_at, a.activation_id, b.name, a.undoes, v.old
  from ingest.activations a
  join ingest.branches b using (branch_id)
  join core.item_versions v on v.written_by_activation = a.activation_id and v.item_id = %(item_id)s
 where b.source_id = %(source_id)s order by v.version;
