-- name: find_activation
-- One activation of a branch.
select {columns} from ingest.activations
 where activation_id = %(activation_id)s and branch_id = %(branch_id)s;

-- name: find_open
-- The open activation of a branch, if any.
select {columns} from ingest.activations
 where branch_id = %(branch_id)s and kind <> 'rollback'
   and state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed');

-- name: newest_in_state
-- The newest activation of a branch that is ready for a step; not a replay or a rollback, which hold only some rows.
select {columns} from ingest.activations
 where branch_id = %(branch_id)s and kind = 'ingest' and state = any(%(states)s) order by activation_id desc limit 1;

-- name: claimed_by_run
-- The activation that this root run works on.
select {columns} from ingest.activations
 where branch_id = %(branch_id)s and claimed_by = %(holder)s order by activation_id desc limit 1;

-- name: needing_a_run
-- Open activations that no run works on; those of dry runs wait for a person.
select b.name, a.activation_id from ingest.activations a
  join ingest.branches b using (branch_id) left join ingest.leases l using (branch_id)
 where a.state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'committed') and not a.plan_only
   and a.kind <> 'rollback' and b.state = 'active' and (l.holder is null or l.expires_at < now())
 order by a.activation_id;

-- name: newest_activations
-- The last activations of a branch, newest first.
select {columns} from ingest.activations
 where branch_id = %(branch_id)s order by activation_id desc limit %(count)s;

-- name: create_activation
-- A new activation, already claimed by its run; no row if another one is open.
insert into ingest.activations (branch_id, claimed_by, plan_only)
values (%(branch_id)s, %(holder)s, %(plan_only)s) on conflict do nothing returning {columns};

-- name: create_replay
-- An activation of rejects of earlier activations.
insert into ingest.activations (branch_id, kind, claimed_by)
values (%(branch_id)s, 'replay', %(holder)s) returning {columns};

-- name: claim_activation
-- Claim an open activation for a run; a real run continues a planned one.
update ingest.activations
   set claimed_by = %(holder)s,
       plan_only = plan_only and %(plan_only)s,
       state = case when state = 'planned' then 'accepted' else state end,
       error = null
 where activation_id = %(activation_id)s
   and state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed')
returning {columns};

-- name: rollback_of
-- The rollback that undoes an activation.
select {columns} from ingest.activations where undoes = %(activation_id)s;

-- name: open_rollback
-- A rollback of the branch that has begun and not ended.
select {columns} from ingest.activations
 where branch_id = %(branch_id)s and kind = 'rollback' and state in ('accepted', 'committed')
 order by activation_id limit 1;

-- name: begin_rollback
-- The undone activation counts as rolled back from here on, even if the rollback does not end.
with undone as (
  update ingest.activations set state = 'rolled_back', closed_at = now()
   where activation_id = %(activation_id)s and state <> 'rolled_back' returning activation_id, branch_id
)
insert into ingest.activations (branch_id, kind, state, claimed_by, undoes, spec, pin, plan, rows_read, rejected, valid,
                                pinned_at, snapshotted_at, normalized_at, accepted_at)
select branch_id, 'rollback', 'accepted', %(holder)s, activation_id, %(spec)s, '{{}}', %(plan)s, %(items)s, 0,
       %(items)s, now(), now(), now(), now() from undone
returning {columns};

-- name: pin_activation
-- Which state of the source will be read, and under which spec.
update ingest.activations
   set state = 'pinned', pinned_at = now(), pin = %(pin)s, spec = %(spec)s
 where activation_id = %(activation_id)s and state = 'requested' returning {columns};

-- name: pin_again
-- Pin another state of a relation: the pinned one ended with its session.
update ingest.activations
   set pinned_at = now(), pin = %(pin)s
 where activation_id = %(activation_id)s and state = 'pinned' returning {columns};

-- name: end_snapshot
-- Every page is stored; the digests of what was read are known.
update ingest.activations
   set state = 'snapshotted', snapshotted_at = now(), pin = %(pin)s, rows_read = %(rows_read)s
 where activation_id = %(activation_id)s and state = 'pinned' returning {columns};

-- name: end_normalization
-- Every part is normalized, duplicates are decided, and the gate is passed or not.
update ingest.activations
   set state = %(state)s, normalized_at = now(), accepted_at = case when %(state)s = 'accepted' then now() end,
       normalizer_version = %(normalizer_version)s, rows_read = %(rows_read)s, rejected = %(rejected)s,
       valid = %(valid)s, error = %(error)s,
       carried = (select coalesce(sum(p.carried), 0) from ingest.parts p
                   where p.activation_id = %(activation_id)s and p.asset = 'normalized_items')
 where activation_id = %(activation_id)s and state = 'snapshotted' returning {columns};

-- name: block_activation
-- A gate stopped it: in the snapshot, in normalization, or between the probe and the first write.
update ingest.activations set state = 'blocked', error = %(error)s
 where activation_id = %(activation_id)s and state in ('pinned', 'snapshotted', 'accepted') returning {columns};

-- name: reopen_accepted
-- Every gate that stopped it is accepted: it continues from the state before.
update ingest.activations
   set state = case when normalized_at is not null then 'accepted' when snapshotted_at is not null then 'snapshotted'
                    else 'pinned' end, error = null,
       accepted_at = case when normalized_at is not null then coalesce(accepted_at, now()) end
 where activation_id = %(activation_id)s and state = 'blocked' returning {columns};

-- name: last_committed
-- The newest activation in core: the next one is compared with it.
select {columns} from ingest.activations
 where branch_id = %(branch_id)s and kind = 'ingest' and state in ('committed', 'done')
 order by activation_id desc limit 1;

-- name: record_drift
-- How the columns of the source differ from those of the last committed activation.
update ingest.activations set drift = %(drift)s where activation_id = %(activation_id)s returning {columns};

-- name: record_plan
-- What the upsert would do; an activation of a dry run becomes planned. A saved plan is not lost by it.
update ingest.activations
   set plan = %(plan)s::jsonb || jsonb_build_object(
         'saved', coalesce(nullif(%(plan)s::jsonb -> 'saved', 'null'), plan -> 'saved', 'null')),
       state = case when plan_only and state = 'accepted' then 'planned' else state end
 where activation_id = %(activation_id)s and state in ('accepted', 'planned', 'committed', 'done') returning {columns};

-- name: commit_activation
-- Every batch is committed; the counts are the sums over the batches.
update ingest.activations a
   set state = 'committed', committed_at = now(), error = null, missing = %(missing)s, tombstoned = %(tombstoned)s,
       inserted = b.inserted, updated = b.updated, touched = b.touched, unchanged = b.unchanged, stale = b.stale
  from (select coalesce(sum(inserted), 0) as inserted, coalesce(sum(updated), 0) as updated,
               coalesce(sum(touched), 0) as touched, coalesce(sum(unchanged), 0) as unchanged,
               coalesce(sum(stale), 0) as stale
          from ingest.batches where activation_id = %(activation_id)s) b
 where a.activation_id = %(activation_id)s and a.state = 'accepted' returning {a_columns};

-- name: supersede_older
-- Activations older than the newest committed one of the branch are not ingested any more.
update ingest.activations
   set state = 'superseded', closed_at = now()
 where branch_id = %(branch_id)s and activation_id < %(activation_id)s
   and kind <> 'rollback'
   and state in ('requested', 'pinned', 'snapshotted', 'normalized', 'blocked', 'accepted', 'planned');

-- name: reopen_repaired
-- A repair changed items of it: their embedding requests must be derived again.
update ingest.activations a set state = 'committed'
 where activation_id = %(activation_id)s and state = 'done'
   and not exists (select from ingest.activations o where o.branch_id = a.branch_id and o.activation_id <> a.activation_id
     and o.state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed'));

-- name: add_requests
-- Count embedding requests in the transaction that created them.
update ingest.activations set requests = coalesce(requests, 0) + %(requests)s
 where activation_id = %(activation_id)s and state in ('committed', 'done') returning {columns};

-- name: finish_activation
-- Every item it changed has its embedding request; the error of an earlier attempt is obsolete.
update ingest.activations
   set state = 'done', done_at = coalesce(done_at, now()), requests = coalesce(requests, 0) + %(requests)s, error = null
 where activation_id = %(activation_id)s and state in ('committed', 'done') returning {columns};

-- name: close_activation
-- Ended without being ingested: refused, failed or superseded.
update ingest.activations
   set state = %(state)s, closed_at = now(), error = %(error)s
 where activation_id = %(activation_id)s and committed_at is null returning {columns};

-- name: note_error
-- Why the last attempt stopped; the activation stays where it is and resumes.
update ingest.activations set error = %(error)s where activation_id = %(activation_id)s;

-- name: has_batches
-- Whether anything of an activation is in core already.
select exists (select from ingest.batches where activation_id = %(activation_id)s);
