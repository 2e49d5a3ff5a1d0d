-- name: listed_activations
-- Activations with parts in the manifest.
select distinct activation_id from ingest.parts;

-- name: activations_to_prune
-- Those of the given activations that ended long enough ago and are not in use any more.
select e.branch_id, e.activation_id from ingest.ended_activations e
 where e.activation_id = any(%(activations)s::bigint[]) and not e.in_use
   and e.ended_at < now() - make_interval(days => %(days)s)
 order by e.activation_id;

-- name: unlist_parts
-- The manifest's rows of an activation whose files were deleted.
delete from ingest.parts where activation_id = %(activation_id)s;

-- name: blocks_to_drop
-- Blocks of a thousand activations with partitions, all of whose activations ended long enough ago and are not in use;
-- never the newest block.
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
-- The bytes of a partition on disk, with its indexes.
select pg_total_relation_size(%(partition)s::regclass);

-- name: drop_partition
-- Drops a partition with its rows.
drop table {partition};

-- name: record_pruning
-- Records what was pruned and when, so that a rollback can say why its history is missing.
insert into ingest.prunings (what, first_activation, last_activation, bytes)
values (%(what)s, %(first_activation)s, %(last_activation)s, %(bytes)s);
