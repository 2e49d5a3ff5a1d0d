-- name: lock_source
-- One derivation of a source at a time: otherwise an earlier one could overwrite the hash of a later text.
select from ingest.sources where source_id = %(source_id)s for no key update;

-- name: share_source
-- The ranges of one derivation run side by side, and no other derivation of the source does.
select from ingest.sources where source_id = %(source_id)s for share;

-- name: derivation_scope
-- The activations to derive for: this one, and those before it that failed half applied, since nothing else requests
-- their items. And whether `embed` of the branch was switched on or off since: then all its items are looked at.
with before as (
  select coalesce(max(activation_id), 0) as activation_id, (array_agg(spec order by activation_id desc))[1] as spec
    from ingest.activations
   where branch_id = %(branch_id)s and done_at is not null and activation_id < %(activation_id)s
)
select array(select a.activation_id from ingest.activations a
              where a.branch_id = %(branch_id)s and a.activation_id > before.activation_id
                and a.activation_id <= %(activation_id)s
                and (a.activation_id = %(activation_id)s or a.state in ('failed', 'superseded'))),
       coalesce(before.spec -> 'embed' <> (select b.spec -> 'embed' from ingest.branches b
                                            where b.branch_id = %(branch_id)s), false)
  from before;

-- name: inserted_id_range
-- The lowest and highest id of the items that an activation wrote.
select min(item_id), max(item_id) from core.item_versions where written_by_activation = %(activation_id)s;

-- name: request_inserted
-- Requests for the items that these activations inserted, or for those in a range of ids. A plain insert, which fails
-- on a conflict: `on conflict`, as in derive_requests, would take half as long again.
insert into core.embedding_requests (model_id, item_id, branch_id, content_hash)
select m.model_id, i.item_id, i.branch_id, i.embed_hash
  from core.item_versions v
  join core.items i on i.item_id = v.item_id and i.deleted_at is null
  join ingest.branches b on b.branch_id = i.branch_id and (b.spec ->> 'embed')::boolean
 cross join (select model_id from core.embedding_models where state in ('active', 'filling')) m
 where v.written_by_activation = any(%(activations)s::bigint[]) and v.op = 'i'
   and (%(low)s::bigint is null or (v.item_id >= %(low)s and i.item_id >= %(low)s))
   and (%(high)s::bigint is null or (v.item_id < %(high)s and i.item_id < %(high)s))
   and not exists (select from core.embedding_requests r
                    where r.model_id = m.model_id and r.item_id = i.item_id and r.content_hash = i.embed_hash)
 order by m.model_id, i.item_id;

-- name: derive_requests
-- Requests for the items that these activations changed, where the wanted request differs from the one in the ledger.
-- Inserted items are left out where request_inserted has done them; touched ones may come from a branch that is not
-- embedded.
with changed as materialized (
  select item_id from core.item_versions
   where written_by_activation = any(%(activations)s::bigint[]) and (op <> 'i' or not %(inserted_are_done)s)
  union
  select item_id from core.items where %(whole_branch)s and branch_id = %(branch_id)s and deleted_at is null
  union
  select item_id from core.items
   where %(touched)s and branch_id = %(branch_id)s and deleted_at is null
     and activation_id = any(%(activations)s::bigint[])
     and exists (select from ingest.branches where source_id = %(source_id)s and not (spec ->> 'embed')::boolean)
), wanted as (
  select m.model_id, i.item_id, i.branch_id, i.embed_hash
    from changed c
    join core.items i on i.item_id = c.item_id and i.deleted_at is null
    join ingest.branches b on b.branch_id = i.branch_id and (b.spec ->> 'embed')::boolean
   cross join (select model_id from core.embedding_models where state in ('active', 'filling')) m
   where not exists (select from core.embedding_requests r
                      where r.model_id = m.model_id and r.item_id = i.item_id and r.content_hash = i.embed_hash)
), written as (
  insert into core.embedding_requests as r (model_id, item_id, branch_id, content_hash)
  select model_id, item_id, branch_id, embed_hash from wanted order by model_id, item_id
  on conflict (model_id, item_id) do update
     set content_hash = excluded.content_hash, branch_id = excluded.branch_id, status = 'p', attempts = 0,
         rate_deferrals = 0, error_class = null, error = null, next_attempt_at = now(), lease_id = null,
         leased_until = null, run_id = null, requested_at = now(), updated_at = now(), completed_at = null
   where r.content_hash <> excluded.content_hash
  returning (xmax = 0) as made
)
select count(*) filter (where made), count(*) filter (where not made) from written;

-- name: move_requests
-- Requests of items that came to another branch of the source by these activations, with the text that they had: by a
-- touch or a change of what is not embedded, or back by a rollback. Where that branch is not embedded, what waits is
-- dropped; how many those are.
with handed as (
  select item_id from core.item_versions where written_by_activation = any(%(activations)s::bigint[]) and op <> 'i'
  union
  select item_id from core.items
   where %(touched)s and branch_id = %(branch_id)s and deleted_at is null
     and activation_id = any(%(activations)s::bigint[])
), moved as (
  select r.model_id, r.item_id, i.branch_id, (b.spec ->> 'embed')::boolean or r.status = 'd' as is_kept
    from handed h join core.items i using (item_id) join ingest.branches b using (branch_id)
   cross join core.embedding_models m
    join core.embedding_requests r on r.model_id = m.model_id and r.item_id = i.item_id and r.branch_id <> i.branch_id
   where exists (select from ingest.branches b where b.source_id = %(source_id)s and b.branch_id <> %(branch_id)s)
   order by r.model_id, r.item_id for no key update of r
), kept as (
  update core.embedding_requests r set branch_id = m.branch_id, updated_at = now()
    from moved m where m.is_kept and r.model_id = m.model_id and r.item_id = m.item_id
), dropped as (
  delete from core.embedding_requests r using moved m
   where not m.is_kept and r.model_id = m.model_id and r.item_id = m.item_id
  returning r.item_id
)
select count(*) from dropped;

-- name: settle_answered
-- Requests of this transaction whose vector is there already are done: the text went back, as after a rollback.
update core.embedding_requests r set status = 'd', completed_at = now()
  from core.item_versions v, core.embedding_models m, core.item_embeddings e
 where v.written_by_activation = any(%(activations)s::bigint[]) and v.op <> 'i' and m.state in ('active', 'filling')
   and r.model_id = m.model_id and r.item_id = v.item_id and r.status = 'p' and r.requested_at = now()
   and e.model_id = r.model_id and e.item_id = r.item_id and e.content_hash = r.content_hash;

-- name: drop_requests_of_deleted
-- Requests for items that these activations deleted.
delete from core.embedding_requests r
 using core.item_versions v
 where v.written_by_activation = any(%(activations)s::bigint[]) and v.op = 'd' and r.item_id = v.item_id
   and not exists (select from core.items i where i.item_id = v.item_id and i.deleted_at is null);

-- name: vectors_table_exists
-- Whether there is a table of vectors: without pgvector there is none.
select to_regclass('core.item_embeddings') is not null;

-- name: drop_vectors_of_deleted
-- Vectors of items that these activations deleted: a search must not find them.
delete from core.item_embeddings e
 using core.item_versions v, core.embedding_models m
 where v.written_by_activation = any(%(activations)s::bigint[]) and v.op = 'd'
   and e.model_id = m.model_id and e.item_id = v.item_id
   and not exists (select from core.items i where i.item_id = v.item_id and i.deleted_at is null);

-- name: drop_requests_of_unembedded
-- Open requests of a branch that is not embedded any more. Existing vectors are left alone.
delete from core.embedding_requests r
 using core.items i join ingest.branches b using (branch_id)
 where i.branch_id = %(branch_id)s and not (b.spec ->> 'embed')::boolean and r.item_id = i.item_id and r.status <> 'd';

-- name: count_unrequested
-- How many items that an activation changed have no request for their current text; none may be left when it is done.
select count(*)
  from (select distinct item_id from core.item_versions where written_by_activation = %(activation_id)s) c
  join core.items i on i.item_id = c.item_id and i.deleted_at is null
  join ingest.branches b on b.branch_id = i.branch_id and (b.spec ->> 'embed')::boolean
  join core.embedding_models m on m.state = 'active'
  left join core.embedding_requests r
    on r.model_id = m.model_id and r.item_id = i.item_id and r.content_hash = i.embed_hash
 where r.item_id is null;
