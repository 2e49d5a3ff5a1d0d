-- name: list_models
-- Every model, oldest first.
select model_id, provider, model, version, dims, template, template_version, state, options, endpoint, created_at,
       activated_at, retired_at
  from core.embedding_models order by model_id;

-- name: lock_models
-- Models are added, activated and retired one after another.
select from core.embedding_models order by model_id for no key update;

-- name: add_model
-- A new model, filled beside the active one; the first active one where there is none.
insert into core.embedding_models (provider, model, version, dims, template, template_version, options, state)
values (%(provider)s, %(model)s, %(version)s, %(dims)s, %(template)s, %(template_version)s, %(options)s, 'filling')
returning model_id;

-- name: refill_model
-- A model that was retired, or whose options have changed: filled (again) under its old number.
update core.embedding_models
   set state = case state when 'retired' then 'filling' else state end, retired_at = null, options = %(options)s
 where model_id = %(model_id)s;

-- name: step_down
-- The active model stays filled beside the new one, so that one can go back, until it is retired.
update core.embedding_models set state = 'filling' where state = 'active' and model_id <> %(model_id)s;

-- name: activate_model
-- What searches use from the next statement on.
update core.embedding_models set state = 'active', activated_at = now()
 where model_id = %(model_id)s and state in ('filling', 'active');

-- name: retire_model
-- Nothing is wanted for it any more; the active one cannot be retired.
update core.embedding_models set state = 'retired', retired_at = coalesce(retired_at, now())
 where model_id = %(model_id)s and state <> 'active';

-- name: drop_requests
-- Requests of a retired model.
delete from core.embedding_requests where model_id = %(model_id)s;

-- name: coverage
-- How much of what a model should have embedded is embedded, and what became of the rest.
select count(*) as wanted,
       count(*) filter (where r.status = 'd' and r.content_hash = i.embed_hash) as done,
       count(*) filter (where r.status in ('p', 'l')) as waiting,
       count(*) filter (where r.status = 'x') as dead
  from core.items i
  join ingest.branches b on b.branch_id = i.branch_id and (b.spec ->> 'embed')::boolean
  left join core.embedding_requests r on r.model_id = %(model_id)s and r.item_id = i.item_id
 where i.deleted_at is null and (%(branch_id)s::int is null or i.branch_id = %(branch_id)s);

-- name: vectors_table
-- The partition of a model's vectors, where pgvector is.
select to_regclass('core.item_embeddings_' || %(model_id)s::int)::text;

-- name: drop_vectors
-- All vectors of a model at once; its partition stays, since dropping it would stop the readers of all models.
truncate {partition};
