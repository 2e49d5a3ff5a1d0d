-- name: make_lease
-- The lease row of a branch, free, where there is none yet.
insert into ingest.leases (branch_id) values (%(branch_id)s) on conflict do nothing;

-- name: lock_lease
-- The lease as it is, locked against other takers.
select l.epoch, l.holder, l.run_id, l.host, l.pid, l.process_started, l.acquired_at, l.heartbeat_at,
       coalesce(l.expires_at < now(), true) as expired
  from ingest.leases l where l.branch_id = %(branch_id)s for update;

-- name: lock_branch_exclusively
-- Wait until no batch of the branch is under way; new ones wait for us and then see the new epoch.
select pg_advisory_xact_lock(%(namespace)s, %(branch_id)s);

-- name: lock_branch_shared
-- First act of each fenced transaction: a take-over waits for it to end.
select pg_advisory_xact_lock_shared(%(namespace)s, %(branch_id)s);

-- name: end_stuck_batches
-- End the sessions of a holder that is stopped in the middle of a batch.
select pg_terminate_backend(pid) from pg_locks
 where locktype = 'advisory' and classid = %(namespace)s::oid and objid = %(branch_id)s::oid and objsubid = 2
   and database = (select oid from pg_database where datname = current_database())
   and granted and pid <> pg_backend_pid();

-- name: take_lease
-- Give the lease to a run under a new epoch.
update ingest.leases
   set epoch = epoch + 1, holder = %(holder)s, run_id = %(run_id)s, host = %(host)s, pid = %(pid)s,
       process_started = %(process_started)s, acquired_at = now(), heartbeat_at = now(),
       expires_at = now() + make_interval(secs => %(seconds)s)
 where branch_id = %(branch_id)s
returning epoch;

-- name: read_epoch
-- Second act of each fenced transaction: is the branch still ours.
select epoch from ingest.leases where branch_id = %(branch_id)s;

-- name: renew_lease
-- Heartbeat; touches nothing but the lease row.
update ingest.leases
   set heartbeat_at = now(), expires_at = now() + make_interval(secs => %(seconds)s)
 where branch_id = %(branch_id)s and epoch = %(epoch)s and holder is not null
returning epoch;

-- name: release_lease
-- Free the branch; nothing where another run has taken it meanwhile.
update ingest.leases
   set holder = null, run_id = null, host = null, pid = null, process_started = null, acquired_at = null,
       heartbeat_at = null, expires_at = null
 where branch_id = %(branch_id)s and epoch = %(epoch)s;

-- name: held_leases
-- Who works on what, for the sensor that frees what finished runs left behind.
select l.branch_id, l.epoch, l.holder, l.run_id, l.host, l.pid, l.process_started, l.acquired_at, l.heartbeat_at,
       l.expires_at < now() as expired
  from ingest.leases l where l.holder is not null;
