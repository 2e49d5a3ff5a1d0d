-- name: make_source
-- Create a source, unless it exists.
insert into ingest.sources (name) values (%(source)s) on conflict (name) do nothing;

-- name: lock_source
-- Branches of one source are applied one after another, since they must be consistent.
select source_id from ingest.sources where name = %(source)s for no key update;

-- name: find_branch
-- A branch by its name.
select b.branch_id, b.name, b.source_id, b.spec, b.spec_digest, b.priority, b.state
  from ingest.branches b where b.name = %(name)s;

-- name: branch_name
-- The name of a branch.
select name from ingest.branches where branch_id = %(branch_id)s;

-- name: list_branches
-- Every branch.
select b.branch_id, b.name, b.source_id, b.spec, b.spec_digest, b.priority, b.state
  from ingest.branches b order by b.name;

-- name: apply_branch
-- Register or change a branch; no row if nothing changed.
insert into ingest.branches (name, source_id, spec, spec_digest, priority)
select %(name)s, s.source_id, %(spec)s, %(digest)s, %(priority)s from ingest.sources s where s.name = %(source)s
on conflict (name) do update
   set spec = excluded.spec, spec_digest = excluded.spec_digest, priority = excluded.priority, state = 'active',
       applied_at = now()
 where branches.spec_digest <> excluded.spec_digest or branches.state <> 'active'
returning (xmax = 0) as created;

-- name: siblings
-- The other branches of a source.
select b.name, b.priority, b.spec ->> 'updated_at' as updated_at, b.spec ->> 'missing' as missing
  from ingest.branches b join ingest.sources s using (source_id)
 where s.name = %(source)s and b.name <> %(name)s and b.state = 'active';

-- name: activate
-- Request an activation of what the branch holds now.
select ingest.activate(%(name)s);
