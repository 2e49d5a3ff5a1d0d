-- name: embedding_status
-- One row for each model in use and each branch that is embedded or has requests.
with counted as (
  select model_id, branch_id, count(*) filter (where status = 'p') as pending,
         count(*) filter (where status = 'p' and next_attempt_at > now()) as waiting,
         count(*) filter (where status = 'l') as leased, count(*) filter (where status = 'd') as done,
         min(requested_at) filter (where status in ('p', 'l')) as oldest,
         count(*) filter (where completed_at > now() - interval '5 minutes') / 300.0 as rate
    from core.embedding_requests
   where %(branch_id)s::int is null or branch_id = %(branch_id)s
   group by model_id, branch_id
), dead as (
  select model_id, branch_id, jsonb_object_agg(error_class, requests order by error_class) as by_class
    from (select model_id, branch_id, coalesce(error_class, 'unknown') as error_class, count(*) as requests
            from core.embedding_requests where status = 'x' group by 1, 2, 3) x
   group by model_id, branch_id
), live as (
  select branch_id, count(*) as items from core.items
   where deleted_at is null and (%(branch_id)s::int is null or branch_id = %(branch_id)s) group by branch_id
)
select m.model_id, m.provider || '/' || m.model as model, m.state, b.name as branch, coalesce(l.items, 0) as items,
       coalesce(c.pending, 0) as pending, coalesce(c.waiting, 0) as waiting, coalesce(c.leased, 0) as leased,
       coalesce(c.done, 0) as done, coalesce(d.by_class, '{}') as dead, c.oldest, coalesce(c.rate, 0)::float8 as rate,
       case when p.paused_until > now() then p.paused_until end as paused_until,
       case when p.failures > 0 then p.reason end as paused_for
  from core.embedding_models m
 cross join ingest.branches b
  left join counted c on c.model_id = m.model_id and c.branch_id = b.branch_id
  left join dead d on d.model_id = m.model_id and d.branch_id = b.branch_id
  left join live l on l.branch_id = b.branch_id
  left join core.embedding_endpoints p on p.endpoint = m.endpoint
 where m.state <> 'retired' and (%(branch_id)s::int is null or b.branch_id = %(branch_id)s)
   and (c.branch_id is not null or (b.spec ->> 'embed')::boolean)
 order by m.state, m.model_id, b.name;
