-- name: list_models
-- Every model, oldest first.
select model_id, provider, model, version, dims, template, template_version, state, options, endpoint, created_at,
       activated_at, retired_at
  from core.embedding_models order by model_id;

-- name: lock_models
-- Models are added, activated and retired one at a time.
select from core.embedding_models order by model_id for no key update;

-- name: add_model
-- A new model, which is filled beside the active one.
insert into core.embedding_models (provider, model, version, dims, template, template_version, options, state)
values (%(provider)s, %(model)s, %(version)s, %(dims)s, %(template)s, %(template_version)s, %(options)s, 'filling')
returning model_id;

-- name: refill_model
-- New options for a model; a retired one is filled again, under its old id.
update core.embedding_models
   set state = case state when 'retired' then 'filling' else state end, retired_at = null, options = %(options)s
 where model_id = %(model_id)s;

-- name: step_down
-- The active model goes on being filled beside the new one, so that one can switch back.
update core.embedding_models set state = 'filling' where state = 'active' and model_id <> %(model_id)s;

-- name: activate_model
-- Searches use this model from their next statement on.
update core.embedding_models set state = 'active', activated_at = now()
 where model_id = %(model_id)s and state in ('filling', 'active');

-- name: retire_model
-- No requests are made for it any more. The active model cannot be retired.
update core.embedding_models set state = 'retired', retired_at = coalesce(retired_at, now())
 where model_id = %(model_id)s and state <> 'active';

-- name: drop_requests
-- Requests of a retired model.
delete from core.embedding_requests where model_id = %(model_id)s;

-- name: coverage
-- How many items a model should embed, and how many of their requests are done, waiting and dead.
select count(*) as wanted,
       count(*) filter (where r.status = 'd' and r.content_hash = i.embed_hash) as done,
       count(*) filter (where r.status in ('p', 'l')) as waiting,
       count(*) filter (where r.status = 'x') as dead
  from core.items i
  join ingest.branches b on b.branch_id = i.branch_id and (b.spec ->> 'embed')::boolean
  left join core.embedding_requests r on r.model_id = %(model_id)s and r.item_id = i.item_id
 where i.deleted_at is null and (%(branch_id)s::int is null or i.branch_id = %(branch_id)s);

-- name: vectors_table
-- The partition of a model's vectors; null without pgvector.
select to_regclass('core.item_embeddings_' || %(model_id)s::int)::text;

-- name: drop_vectors
-- All vectors of a model. The empty partition stays, since dropping it would block the readers of all models.
truncate {partition};
