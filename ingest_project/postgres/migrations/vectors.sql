-- name: type_exists
-- Whether pgvector is in this database, in a schema that we look into.
select to_regtype('vector') is not null;

-- name: extension_available
-- Whether the server has pgvector installed.
select exists (select from pg_available_extensions where name = 'vector');

-- name: create_extension
-- The one thing that may need more than an owner.
create extension if not exists vector;

-- name: make_embeddings
-- Vectors by model; a plain `vector` column, since models differ in dimensions.
create table if not exists core.item_embeddings (
  model_id     int not null,
  item_id      bigint not null,
  content_hash uuid not null,
  embedding    vector not null,
  embedded_at  timestamptz not null default now(),
  primary key (model_id, item_id)
) partition by list (model_id);

-- name: models_without_partition
-- Models that have no partition of vectors yet.
select m.model_id, m.dims from core.embedding_models m
 where to_regclass('core.item_embeddings_' || m.model_id) is null;

-- name: make_partition
-- The vectors of one model, all of its dimensions.
create table if not exists {partition} partition of core.item_embeddings
  (constraint {constraint} check (vector_dims(embedding) = {dims})) for values in ({model_id});
