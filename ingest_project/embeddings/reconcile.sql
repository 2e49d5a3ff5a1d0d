-- name: lock_sources
-- Keeps derivations out meanwhile: the hashes read here must not replace those of a later derivation.
select from ingest.sources order by source_id for no key update;

-- name: reconcile_scope
-- The branches that are not embedded, and whether any branches share a source: only then can items change owner.
select array(select branch_id from ingest.branches where (spec ->> 'embed')::boolean is not true),
       exists (select from ingest.branches group by source_id having count(*) > 1);

-- name: reconcile_wanted
-- Items without a request for their current text. Where there are none, this is a merge of two index-only scans.
with differing as materialized (
  select i.item_id, i.embed_hash, r.item_id as requested
    from core.items i
    left join core.embedding_requests r on r.model_id = %(model_id)s and r.item_id = i.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s
   where i.item_id > %(after)s and i.item_id <= %(upto)s and i.deleted_at is null
     and (r.item_id is null or r.content_hash <> i.embed_hash)
), wanted as materialized (
  select d.item_id, i.branch_id, d.embed_hash, d.requested
    from differing d cross join lateral (select branch_id from core.items i
                                          where i.item_id = d.item_id and i.deleted_at is null offset 0) i
   where i.branch_id <> all(%(unembedded)s::int[])
     and (%(branch_id)s::int is null or i.branch_id = %(branch_id)s)
), written as (
  insert into core.embedding_requests as r (model_id, item_id, branch_id, content_hash)
  select %(model_id)s, item_id, branch_id, embed_hash from wanted where %(repair)s order by item_id
  on conflict (model_id, item_id) do update
     set content_hash = excluded.content_hash, branch_id = excluded.branch_id, status = 'p', attempts = 0,
         rate_deferrals = 0, error_class = null, error = null, next_attempt_at = now(), lease_id = null,
         leased_until = null, run_id = null, requested_at = now(), updated_at = now(), completed_at = null
   where r.content_hash <> excluded.content_hash
)
select count(*) filter (where requested is null), count(*) filter (where requested is not null) from wanted;

-- name: reconcile_unwanted
-- Requests for items that are deleted or whose branch is not embedded.
with unwanted as materialized (
  select r.item_id
    from core.embedding_requests r
    left join core.items i on i.item_id = r.item_id and i.deleted_at is null
     and i.item_id > %(after)s and i.item_id <= %(upto)s
   where r.model_id = %(model_id)s and r.item_id > %(after)s and r.item_id <= %(upto)s and i.item_id is null
     and (%(branch_id)s::int is null or r.branch_id = %(branch_id)s)
  union all
  select r.item_id
    from core.items i join core.embedding_requests r on r.model_id = %(model_id)s and r.item_id = i.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s
   where i.branch_id = any(%(unembedded)s::int[]) and i.deleted_at is null
     and i.item_id > %(after)s and i.item_id <= %(upto)s
     and (%(branch_id)s::int is null or i.branch_id = %(branch_id)s)
), dropped as (
  delete from core.embedding_requests r using unwanted u
   where %(repair)s and r.model_id = %(model_id)s and r.item_id = u.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s
)
select count(*) from unwanted;

-- name: reconcile_moved
-- Requests of items that another branch of the source owns by now: they become requests of that branch.
with moved as materialized (
  select r.item_id, i.branch_id
    from core.embedding_requests r join core.items i on i.item_id = r.item_id and i.deleted_at is null
     and i.item_id > %(after)s and i.item_id <= %(upto)s
   where r.model_id = %(model_id)s and r.item_id > %(after)s and r.item_id <= %(upto)s
     and r.branch_id <> i.branch_id
     and (%(branch_id)s::int is null or %(branch_id)s in (i.branch_id, r.branch_id))
), written as (
  update core.embedding_requests r set branch_id = m.branch_id, updated_at = now()
    from moved m where %(repair)s and r.model_id = %(model_id)s and r.item_id = m.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s
)
select count(*) from moved;

-- name: reconcile_lost
-- Requests that are done although their vector is missing or of another text: they are due again.
with lost as materialized (
  select r.item_id
    from core.embedding_requests r
    left join core.item_embeddings e on e.model_id = r.model_id and e.item_id = r.item_id
     and e.item_id > %(after)s and e.item_id <= %(upto)s
   where r.model_id = %(model_id)s and r.item_id > %(after)s and r.item_id <= %(upto)s and r.status = 'd'
     and e.content_hash is distinct from r.content_hash
     and (%(branch_id)s::int is null or r.branch_id = %(branch_id)s)
), written as (
  update core.embedding_requests r
     set status = 'p', completed_at = null, attempts = 0, next_attempt_at = now(), run_id = null, updated_at = now()
    from lost l where %(repair)s and r.model_id = %(model_id)s and r.item_id = l.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s and r.status = 'd'
)
select count(*) from lost;

-- name: reconcile_found
-- Requests that wait although their vector exists: the text went back, or a retired model was added again.
with found as materialized (
  select r.item_id, r.content_hash
    from core.embedding_requests r join core.item_embeddings e on e.model_id = r.model_id and e.item_id = r.item_id
     and e.item_id > %(after)s and e.item_id <= %(upto)s
   where r.model_id = %(model_id)s and r.item_id > %(after)s and r.item_id <= %(upto)s and r.status = 'p'
     and e.content_hash = r.content_hash
     and (%(branch_id)s::int is null or r.branch_id = %(branch_id)s)
), written as (
  update core.embedding_requests r
     set status = 'd', completed_at = now(), updated_at = now(), error_class = null, error = null
    from found f
   where %(repair)s and r.model_id = %(model_id)s and r.item_id = f.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s and r.status = 'p'
     and r.content_hash = f.content_hash
)
select count(*) from found;

-- name: reconcile_orphans
-- Vectors without a request.
with orphaned as materialized (
  select e.item_id
    from core.item_embeddings e
    left join core.embedding_requests r on r.model_id = e.model_id and r.item_id = e.item_id
     and r.item_id > %(after)s and r.item_id <= %(upto)s
   where e.model_id = %(model_id)s and e.item_id > %(after)s and e.item_id <= %(upto)s and r.item_id is null
     and (%(branch_id)s::int is null or not exists (select from core.items i where i.item_id = e.item_id
                                                       and i.branch_id <> %(branch_id)s and i.deleted_at is null))
), dropped as (
  delete from core.item_embeddings e using orphaned o
   where %(repair)s and e.model_id = %(model_id)s and e.item_id = o.item_id
     and e.item_id > %(after)s and e.item_id <= %(upto)s
)
select count(*) from orphaned;

-- name: reconcile_retired
-- Requests for retired models: a derivation may make some while a model is being retired.
with unwanted as materialized (
  select r.model_id, r.item_id
    from core.embedding_models m join core.embedding_requests r using (model_id)
   where m.state = 'retired' and (%(branch_id)s::int is null or r.branch_id = %(branch_id)s)
), dropped as (
  delete from core.embedding_requests r using unwanted u
   where %(repair)s and r.model_id = u.model_id and r.item_id = u.item_id
)
select count(*) from unwanted;
