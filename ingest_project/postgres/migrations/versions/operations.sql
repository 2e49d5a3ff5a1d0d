-- What has ended and may be pruned, what was pruned, and a view per question that people ask.

create table ingest.prunings (
  pruning_id       bigint generated always as identity primary key,
  what             text not null,
  first_activation bigint not null,
  last_activation  bigint not null,
  bytes            bigint not null,
  pruned_at        timestamptz not null default now(),
  constraint pruning_is_of_something_known check (what in ('parts', 'history')),
  constraint pruning_range check (first_activation <= last_activation),
  constraint pruning_bytes check (bytes >= 0)
);
create index prunings_by_activation on ingest.prunings (first_activation, last_activation);

-- Activations that have ended, and whether something still goes back to them: the newest that was ingested, which the
-- next one is compared with, and one at a gate that somebody may still accept.
create view ingest.ended_activations as
select a.branch_id, a.activation_id, a.state,
       coalesce(a.closed_at, a.done_at, a.normalized_at) as ended_at,
       a.activation_id = max(a.activation_id) filter (where a.kind = 'ingest' and a.state in ('committed', 'done'))
                           over (partition by a.branch_id)
         is true
       or a.state = 'blocked'
         and a.activation_id = max(a.activation_id) over (partition by a.branch_id) as in_use
  from ingest.activations a
 where a.state not in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed');

-- Partitions by block of a thousand activations, as ingest.ensure_partitions makes and names them.
create view ingest.activation_partitions as
select i.inhrelid::regclass::text as partition, i.inhparent::regclass::text as parent,
       right(c.relname, 6)::bigint as block
  from pg_inherits i
  join pg_partitioned_table p on p.partrelid = i.inhparent and p.partstrat = 'r'
  join pg_class c on c.oid = i.inhrelid and c.relname ~ '_[0-9]{6}$'
  join pg_class q on q.oid = i.inhparent
 where q.relnamespace in ('ingest'::regnamespace, 'core'::regnamespace);

-- How is each branch: its newest activation, who works on it, since when nothing went through.
create view ingest.branch_status as
select b.name as branch, s.name as source, b.state as branch_state, n.activation_id, n.kind, n.state, n.requested_at,
       n.error ->> 'what' as error, d.activation_id as last_done, d.done_at as last_done_at,
       now() - d.done_at as since_done, l.run_id as held_by, l.host, l.heartbeat_at
  from ingest.branches b
  join ingest.sources s using (source_id)
  left join lateral (select * from ingest.activations a where a.branch_id = b.branch_id
                      order by a.activation_id desc limit 1) n on true
  left join lateral (select * from ingest.activations a where a.branch_id = b.branch_id and a.state = 'done'
                      order by a.activation_id desc limit 1) d on true
  left join ingest.leases l on l.branch_id = b.branch_id and l.holder is not null;

-- Why rows were set aside: by activation and code, with one key to look at.
create view ingest.reject_reasons as
select b.name as branch, r.activation_id, e ->> 'field' as field, e ->> 'code' as code, count(*) as rows,
       min(e ->> 'message') as example, min(r."row") as first_row
  from ingest.rejects r
  join ingest.activations a using (activation_id)
  join ingest.branches b using (branch_id)
 cross join lateral jsonb_array_elements(r.errors) e
 group by 1, 2, 3, 4;

-- How far behind its source each branch is: when the newest of its files was written, when it was in core.items.
create view ingest.source_freshness as
select b.name as branch, a.activation_id, f.written_at as source_written_at, a.committed_at,
       a.committed_at - f.written_at as lag, now() - f.written_at as age
  from ingest.branches b
  join lateral (select * from ingest.activations a where a.branch_id = b.branch_id and a.state in ('committed', 'done')
                 order by a.activation_id desc limit 1) a on true
  left join lateral (select to_timestamp(max((file ->> 'modified_ns')::numeric / 1e9)) as written_at
                       from jsonb_array_elements(a.pin -> 'files') file) f on true;

-- How fast a batch is, part by part: rows, and the seconds since the one before it.
create view ingest.batch_pace as
select b.name as branch, t.activation_id, t.part, t.valid, t.inserted, t.updated, t.touched, t.unchanged, t.stale,
       t.committed_at, t.run_id,
       extract(epoch from t.committed_at - lag(t.committed_at) over (partition by t.activation_id order by t.committed_at))
         as seconds
  from ingest.batches t
  join ingest.activations a using (activation_id)
  join ingest.branches b using (branch_id);

do $$
begin
  if exists (select from pg_roles where rolname = 'ingest_reader') then
    grant select on all tables in schema ingest, core to ingest_reader;
  end if;
end $$;
