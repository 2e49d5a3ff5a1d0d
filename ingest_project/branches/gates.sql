-- name: record_gate
-- A measure; an accepted gate stays accepted. Of the contract only the accepted changes are: a relation may have changed
-- again by the time it is read once more.
insert into ingest.gates (activation_id, code, measured, "limit", what)
values (%(activation_id)s, %(code)s, %(measured)s, %(limit)s, %(what)s)
on conflict (activation_id, code) do update
   set measured = excluded.measured, "limit" = excluded."limit", what = excluded.what, measured_at = now(),
       accepted_by = case when gates.code <> 'contract' or gates.what = excluded.what then gates.accepted_by end,
       accepted_at = case when gates.code <> 'contract' or gates.what = excluded.what then gates.accepted_at end,
       why = case when gates.code <> 'contract' or gates.what = excluded.what then gates.why end;

-- name: gates_of
-- All gates of an activation, as they are now.
select code, measured, "limit", what, accepted_by, accepted_at, why from ingest.gates
 where activation_id = %(activation_id)s order by code;

-- name: accept_gate
-- A person accepts a gate that blocks.
update ingest.gates set accepted_by = %(who)s, accepted_at = now(), why = %(why)s
 where activation_id = %(activation_id)s and code = %(code)s and not passed and accepted_at is null;

-- name: lock_activation
-- Lock an activation, so that of two people who accept its gates at once one waits.
select a.branch_id, b.name from ingest.activations a join ingest.branches b using (branch_id)
 where a.activation_id = %(activation_id)s for no key update of a;
