-- Age and columns are asked before anything is read: blocked, pinned, not yet a snapshot.
alter table ingest.activations drop constraint state_has_its_time;
alter table ingest.activations add constraint state_has_its_time check (
  case state
    when 'pinned' then pinned_at when 'snapshotted' then snapshotted_at when 'normalized' then normalized_at
    when 'blocked' then pinned_at when 'accepted' then accepted_at when 'planned' then accepted_at
    when 'committed' then committed_at when 'done' then done_at when 'requested' then requested_at
    else closed_at end is not null);

-- What was stopped early ended as well: without a time it would never be pruned.
create or replace view ingest.ended_activations as
select a.branch_id, a.activation_id, a.state,
       coalesce(a.closed_at, a.done_at, a.normalized_at, a.snapshotted_at, a.pinned_at) as ended_at,
       a.activation_id = max(a.activation_id) filter (where a.kind = 'ingest' and a.state in ('committed', 'done'))
                           over (partition by a.branch_id)
         is true
       or a.state = 'blocked'
         and a.activation_id = max(a.activation_id) over (partition by a.branch_id) as in_use
  from ingest.activations a
 where a.state not in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed');
