-- name: pgvector_version
-- The version of the installed extension.
select extversion from pg_extension where extname = 'vector';

-- name: search_settings
-- An index returns its nearest rows before the filters apply; with an iterative scan it goes on until enough rows pass
-- them. Relaxed order misses fewer of them, and nearest_items sorts its result anyway.
select set_config('hnsw.iterative_scan', 'relaxed_order', true),
       set_config('hnsw.ef_search', %(ef_search)s::int::text, true);

-- name: active_model_id
-- The id of the active model.
select model_id from core.embedding_models where state = 'active';

-- name: nearest_items
-- The items nearest to a vector, with their content and provenance. `is_current`: the vector is of the current text.
with hits as (
  select e.item_id, e.content_hash, e.embedding::{kind}({dims}) <=> %(query)s::{kind}({dims}) as distance
    from core.item_embeddings e
    join core.items i on i.item_id = e.item_id and i.deleted_at is null
   where e.model_id = {model_id}
     and (%(branch_id)s::int is null or i.branch_id = %(branch_id)s)
     and (%(country)s::text is null or i.country_code = %(country)s)
     and (%(km)s::float8 is null
          or 2 * 6371.0088 * asin(sqrt(least(1, sin(radians(i.latitude - %(lat)s) / 2) ^ 2
             + cos(radians(%(lat)s)) * cos(radians(i.latitude)) * sin(radians(i.longitude - %(lon)s) / 2) ^ 2)))
             <= %(km)s)
   order by e.embedding::{kind}({dims}) <=> %(query)s::{kind}({dims})
   limit %(limit)s
)
select h.distance, h.content_hash = p.embed_hash as is_current, p.item_id, p.external_id, p.name, p.category, p.street,
       p.house_number, p.locality, p.country_code, p.latitude, p.longitude, p.source, p.branch, p.activation_id,
       p.run_id, p.written_at
  from hits h join core.items_with_provenance p on p.item_id = h.item_id and p.deleted_at is null
 order by h.distance, p.item_id;
