-- name: raise_alert
-- A branch has failed; delivered again only if event, code or activation differ from the last alert.
insert into ingest.alerts as a (branch_id, event, activation_id, run_id, code, what, todo)
values (%(branch_id)s, %(event)s, %(activation_id)s, %(run_id)s, %(code)s, %(what)s, %(todo)s)
on conflict (branch_id) do update
   set event = excluded.event, activation_id = excluded.activation_id, run_id = excluded.run_id, code = excluded.code,
       what = excluded.what, todo = excluded.todo, since = case a.event when 'recovered' then now() else a.since end,
       times = case a.event when 'recovered' then 1 else a.times + 1 end,
       told_at = case when (a.event, a.code, a.activation_id) is not distinct from
                           (excluded.event, excluded.code, excluded.activation_id) then a.told_at end;

-- name: clear_alert
-- The branch has recovered; no change if it has no alert.
update ingest.alerts
   set event = 'recovered', activation_id = %(activation_id)s, run_id = %(run_id)s, told_at = null
 where branch_id = %(branch_id)s and event <> 'recovered';

-- name: undelivered_alerts
-- Alerts to deliver; those that another process delivers at this moment are skipped.
select a.branch_id, b.name, a.event, a.activation_id, a.run_id, a.code, a.what, a.todo, a.since, a.times
  from ingest.alerts a join ingest.branches b using (branch_id)
 where a.told_at is null order by a.branch_id for update of a skip locked;

-- name: mark_delivered
-- The receiver has it.
update ingest.alerts set told_at = now() where branch_id = %(branch_id)s;
