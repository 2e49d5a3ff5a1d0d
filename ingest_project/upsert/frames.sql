-- name: describe_table
-- The columns of a table in their order: name, type, whether Postgres itself fills it, whether its type can be compared.
select a.attname::text, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '' or a.attidentity = 'a',
       exists (select from pg_opclass c join pg_am m on m.oid = c.opcmethod and m.amname = 'btree'
                where c.opcdefault and c.opcintype = a.atttypid)
  from pg_attribute a
 where a.attrelid = to_regclass(%(table)s) and a.attnum > 0 and not a.attisdropped order by a.attnum;

-- name: unique_keys
-- The sets of columns of the unconditional unique indexes of a table: one of them must be the key.
select array_agg(a.attname::text order by k.at)
  from pg_index i
 cross join unnest(i.indkey::int2[]) with ordinality k (attnum, at)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
 where i.indrelid = to_regclass(%(table)s) and i.indisunique and i.indisvalid and i.indimmediate
   and i.indpred is null and i.indexprs is null and k.at <= i.indnkeyatts
 group by i.indexrelid;

-- name: make_table
-- A table for frames that have none yet, with the key as its primary key.
create table if not exists {table} ({definitions}, primary key ({key}));

-- name: make_frame_stage
-- The rows to be written, in the table's own types, and the outcome of each.
create temp table frame_stage ({definitions}, "frame kind" "char", "frame locked" bool not null default false,
                               "frame done" bool not null default false) on commit drop;

-- name: copy_frame
-- The rows of one frame.
copy pg_temp.frame_stage ({columns}) from stdin (format csv);

-- name: analyze_frame_stage
-- The planner must know how many there are.
analyze pg_temp.frame_stage;

-- name: duplicate_keys
-- Keys that the frames have more than once, and how many such keys there are.
select {key}, count(*) over () from pg_temp.frame_stage group by {key} having count(*) > 1 order by {key} limit 5;

-- name: lock_frame_rows
-- Locks the live rows under the staged keys in the order of the key, as every writer does, so that none deadlocks.
with locked as (
  select "staged row".ctid as place from {table} "live row" join pg_temp.frame_stage "staged row" on {match}
   where not "staged row"."frame done" order by {target_key} for no key update of "live row"
)
update pg_temp.frame_stage "staged row" set "frame locked" = true from locked where locked.place = "staged row".ctid;

-- name: classify_frame_rows
-- New, the same, older than the live row, or changed: classified by the locked rows. A live row that another writer
-- has inserted since is not locked: it is left for the next round.
update pg_temp.frame_stage "staged row" set "frame kind" = classified.kind::"char"
  from (select "staged row".ctid as place,
               case when "live row".ctid is null then 'i' when not "staged row"."frame locked" then null
                    when {same} then 'n' when {older} then 's' else 'u' end as kind
          from pg_temp.frame_stage "staged row" left join {table} "live row" on {match}
         where not "staged row"."frame done") classified
 where classified.place = "staged row".ctid;

-- name: update_frame_rows
-- Changed rows.
update {table} "live row" set {assignments} from pg_temp.frame_stage "staged row"
 where "staged row"."frame kind" = 'u' and not "staged row"."frame done" and {match};

-- name: insert_frame_rows
-- New keys. One that another writer has just inserted is skipped, and classified again in the next round.
with inserted as (
  insert into {table} ({columns})
  select {values} from pg_temp.frame_stage "staged row"
   where "staged row"."frame kind" = 'i' and not "staged row"."frame done" order by {stage_key}
  on conflict ({key}) do nothing returning {key}
)
update pg_temp.frame_stage "staged row" set "frame done" = true from inserted "live row" where {match};

-- name: mark_frame_rows_done
-- All rows are done but the new keys that were inserted by others meanwhile.
update pg_temp.frame_stage set "frame done" = true where "frame kind" <> 'i' and not "frame done";

-- name: count_open_frame_rows
-- How many rows are left for another round.
select count(*) from pg_temp.frame_stage where not "frame done";

-- name: count_frame_rows
-- The rows by outcome.
select "frame kind"::text, count(*)::int from pg_temp.frame_stage group by 1;

-- name: drop_frame_stage
-- Dropped, so that another table can be written in the same transaction.
drop table pg_temp.frame_stage;

-- name: keep_old_images
-- The rows as they are, before they change.
insert into {history} ({key}, changed_at, old)
select {target_key}, now(), to_jsonb("live row".*)
  from {table} "live row" join pg_temp.frame_stage "staged row" on {match}
 where "staged row"."frame kind" = 'u' and not "staged row"."frame done" order by {target_key};

-- name: make_history
-- Old images of a table's rows, by key and time.
create table if not exists {history} ({definitions}, changed_at timestamptz not null, old jsonb not null);

-- name: read_table
-- The rows of a table, or of a part of it, in the order of its key.
copy (select {columns} from {table} where {condition} order by {key}) to stdout (format csv, force_quote *);
