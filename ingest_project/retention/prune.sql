-- name: listed_activations
-- Activations of which the manifest still lists parts.
select distinct activation_id from ingest.parts;

-- name: activations_to_prune
-- Of these, those that ended long enough ago and that nothing will go back to.
select e.branch_id, e.activation_id from ingest.ended_activations e
 where e.activation_id = any(%(activations)s::bigint[]) and not e.in_use
   and e.ended_at < now() - make_interval(days => %(days)s)
 order by e.activation_id;

-- name: unlist_parts
-- The parts of an activation whose files are gone; how many bytes they had.
with gone as (delete from ingest.parts where activation_id = %(activation_id)s returning bytes)
select coalesce(sum(bytes), 0)::bigint from gone;

-- name: blocks_to_drop
-- Blocks of a thousand activations of which every one ended long enough ago and none is gone back to, that still have
-- partitions; never the newest block.
with blocks as (
  select a.activation_id / 1000 as block, min(a.activation_id) as first, max(a.activation_id) as last
    from ingest.activations a left join ingest.ended_activations e using (activation_id)
   group by 1
  having bool_and(coalesce(not e.in_use and e.ended_at < now() - make_interval(days => %(days)s), false))
)
select b.block, b.first, b.last, array_agg(p.partition order by p.partition)
  from blocks b
  join ingest.activation_partitions p using (block)
 where b.block < (select max(activation_id) / 1000 from ingest.activations)
 group by 1, 2, 3 order by 1;

-- name: size_of_partition
-- Its bytes on disk, indexes and all.
select pg_total_relation_size(%(partition)s::regclass);

-- name: drop_partition
-- A partition and all that is in it.
drop table {partition};

-- name: keep_pruning
-- What was pruned, for whoever looks for it later.
insert into ingest.prunings (what, first_activation, last_activation, bytes)
values (%(what)s, %(first)s, %(last)s, %(bytes)s);
