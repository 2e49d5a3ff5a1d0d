-- name: branch_overview
-- The state of every branch, or of one: last ingest, heartbeat of its lease, age of its source; ages by one clock.
select s.branch, s.last_done, s.last_done_at, s.since_done, now() - s.heartbeat_at as pulse_age, f.age as source_age,
       (select count(*) from core.embedding_requests r
         where r.status = 'l' and r.leased_until < now() and r.branch_id = b.branch_id) as claims_expired,
       (select a.event from ingest.alerts a where a.branch_id = b.branch_id and a.told_at is null) as undelivered
  from ingest.branch_status s
  join ingest.branches b on b.name = s.branch
  left join ingest.source_freshness f on f.branch = s.branch
 where %(name)s::text is null or s.branch = %(name)s
 order by s.branch;

-- name: activation_progress
-- How far an activation is in each stage that works part by part.
select count(*) filter (where p.asset = 'branch_snapshot') as parts_read,
       coalesce(sum(p.rows) filter (where p.asset = 'branch_snapshot'), 0)::bigint as rows_read,
       count(*) filter (where p.asset = 'normalized_items') as parts_normalized,
       (select coalesce(sum(t.valid), 0)::bigint from ingest.batch_pace t
         where t.activation_id = %(activation_id)s) as rows_upserted,
       now() - greatest(max(p.written_at), (select max(t.committed_at) from ingest.batch_pace t
                                             where t.activation_id = %(activation_id)s)) as since_part
  from ingest.parts p where p.activation_id = %(activation_id)s;
