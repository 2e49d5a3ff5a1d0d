-- name: index_state
-- Whether a model's index is complete; false for one that an interrupted build has left, null for none.
select indisvalid from pg_index where indexrelid = to_regclass('core.item_embeddings_' || %(model_id)s::int || '_hnsw');

-- name: count_vectors
-- How many vectors a model has.
select count(*) from core.item_embeddings where model_id = %(model_id)s;

-- name: set_build_memory
-- A build is many times faster if its graph fits into memory.
select set_config('maintenance_work_mem', %(kilobytes)s::int || 'kB', false);

-- name: disable_build_workers
-- Parallel workers share memory through /dev/shm, of which containers have little.
set max_parallel_maintenance_workers = 0;

-- name: reset_build_memory
-- After a build.
reset maintenance_work_mem;

-- name: reset_build_workers
-- After a build without parallel workers.
reset max_parallel_maintenance_workers;

-- name: make_index
-- On an expression, since the column itself has no dimensions. Concurrently: workers go on storing vectors.
create index concurrently {index} on {partition} using hnsw ((embedding::{kind}({dims})) {operators});

-- name: drop_index
-- Without the index vectors are stored a hundred times faster.
drop index concurrently if exists {index};
