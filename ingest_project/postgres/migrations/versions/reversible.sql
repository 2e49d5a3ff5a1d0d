-- What an activation took out of core.items, what a rollback undoes, and which replay took a reject up again.
alter table ingest.activations
  add column tombstoned bigint,   -- live items that it lacked (ingest), or that it withdrew again (rollback)
  add column undoes     bigint,   -- of a rollback: the activation that it undoes
  add constraint rollback_says_what_it_undoes check ((kind = 'rollback') = (undoes is not null)),
  add constraint tombstones_are_counted check (tombstoned >= 0);
create unique index one_rollback_of_an_activation on ingest.activations (undoes) where undoes is not null;

-- A rollback stands beside the branch's line: what it undoes may be open, and what is activated meanwhile waits.
drop index ingest.one_open_activation_per_branch;
create unique index one_open_activation_per_branch on ingest.activations (branch_id)
  where state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed')
    and kind <> 'rollback';

alter table ingest.rejects add column replayed_by bigint;   -- the replay by which it became an item, or was superseded

create or replace function ingest.activate(branch text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  known ingest.branches;
  found_id bigint;
begin
  select * into known from ingest.branches b where b.name = branch for no key update;
  if not found then
    raise exception using errcode = 'no_data_found', message = format('no branch %L is registered', branch),
      hint = 'Register it with: ingest branch apply FILE';
  end if;
  if known.state <> 'active' then
    raise exception using errcode = 'object_not_in_prerequisite_state',
      message = format('branch %L is %s', branch, known.state), hint = 'Apply its file again to make it active.';
  end if;
  -- Again where a run made one between the look and the insert.
  while found_id is null loop
    -- What a dry run made waits for exactly this: it is let through, its parts are used.
    update ingest.activations a
       set plan_only = false, state = case a.state when 'planned' then 'accepted' else a.state end
     where a.branch_id = known.branch_id and a.plan_only
       and a.state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned')
    returning a.activation_id into found_id;
    if found_id is null then
      select a.activation_id into found_id from ingest.activations a
       where a.branch_id = known.branch_id and a.kind <> 'rollback'
         and a.state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'committed');
    end if;
    if found_id is null then
      insert into ingest.activations (branch_id, requested_by) values (known.branch_id, session_user)
      on conflict do nothing returning activation_id into found_id;
    end if;
  end loop;
  return found_id;
end $$;

create or replace view ingest.activation_status as
select b.name as branch, a.activation_id, a.kind, a.state, a.rows_read, a.rejected, a.valid, a.inserted, a.updated,
       a.touched, a.unchanged, a.stale, a.missing, a.requests, a.requested_at, a.done_at, a.claimed_by,
       l.holder as held_by, l.host, l.heartbeat_at, a.error, a.tombstoned, a.undoes
  from ingest.activations a
  join ingest.branches b using (branch_id)
  left join ingest.leases l on l.branch_id = a.branch_id and l.holder = a.claimed_by;
