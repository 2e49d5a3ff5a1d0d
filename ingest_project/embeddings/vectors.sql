-- name: index_state
-- Whether a model's index is there, and whole; one that a build left behind half made is not valid.
select indisvalid from pg_index where indexrelid = to_regclass('core.item_embeddings_' || %(model_id)s::int || '_hnsw');

-- name: count_vectors
-- How many vectors a model has.
select count(*) from core.item_embeddings where model_id = %(model_id)s;

-- name: build_settings
-- A build is many times faster while its graph fits into memory.
select set_config('maintenance_work_mem', %(kilobytes)s::int || 'kB', false);

-- name: build_alone
-- Helpers share memory through /dev/shm, of which containers have little.
set max_parallel_maintenance_workers = 0;

-- name: reset_settings
-- As they were.
reset maintenance_work_mem;

-- name: reset_workers
-- As they were.
reset max_parallel_maintenance_workers;

-- name: make_index
-- On the expression, since the column has no dimensions; workers go on storing meanwhile.
create index concurrently {index} on {partition} using hnsw ((embedding::{kind}({dims})) {operators});

-- name: drop_index
-- Vectors are stored a hundred times faster without.
drop index concurrently if exists {index};
