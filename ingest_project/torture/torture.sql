-- name: items_of
-- The items of a source by natural key, without our own ids, times, runs and epochs.
select md5(string_agg(row_text, E'\n' order by row_text)), count(*)
  from (select concat_ws('|', i.external_id, i.name, i.content_hash, i.embed_hash, i.issues, i.source_updated_at,
                         i.version, i.part, i.deleted_at is null) as row_text
          from core.items i join ingest.sources s using (source_id) where s.name = %(source)s) r;

-- name: versions_of
-- The history of its items.
select md5(string_agg(row_text, E'\n' order by row_text)), count(*)
  from (select concat_ws('|', i.external_id, v.version, v.op, v.old ->> 'content_hash') as row_text
          from core.item_versions v join core.items i using (item_id) join ingest.sources s using (source_id)
         where s.name = %(source)s) r;

-- name: rejects_of
-- Its rejects with their errors.
select md5(string_agg(row_text, E'\n' order by row_text)), count(*)
  from (select concat_ws('|', r.part, r."row", r.external_id, r.errors, md5(r.raw)) as row_text
          from ingest.rejects r join ingest.activations a using (activation_id) join ingest.branches b using (branch_id)
          join ingest.sources s using (source_id) where s.name = %(source)s) r;

-- name: batches_of
-- Its batch rows.
select md5(string_agg(row_text, E'\n' order by row_text)), count(*)
  from (select concat_ws('|', t.part, t.valid, t.inserted, t.updated, t.touched, t.unchanged, t.stale) as row_text
          from ingest.batches t join ingest.activations a using (activation_id) join ingest.branches b using (branch_id)
          join ingest.sources s using (source_id) where s.name = %(source)s) r;

-- name: requests_of
-- Its embedding requests.
select md5(string_agg(row_text, E'\n' order by row_text)), count(*)
  from (select concat_ws('|', q.model_id, i.external_id, q.content_hash) as row_text
          from core.embedding_requests q join core.items i using (item_id) join ingest.sources s using (source_id)
         where s.name = %(source)s) r;

-- name: activations_of
-- Its activations, with state and counts.
select md5(string_agg(row_text, E'\n' order by row_text)), count(*)
  from (select concat_ws('|', a.state, a.rows_read, a.rejected, a.valid, a.inserted, a.updated, a.touched, a.unchanged,
                         a.stale, a.missing, a.tombstoned) as row_text
          from ingest.activations a join ingest.branches b using (branch_id)
          join ingest.sources s using (source_id) where s.name = %(source)s) r;

-- name: states_done
-- How many activations of a source are done.
select count(*) from ingest.activations a join ingest.branches b using (branch_id) join ingest.sources s using (source_id)
 where s.name = %(source)s and a.done_at is not null;

-- name: ids_of
-- The ids of its branches and activations, by which all else is deleted.
select array_agg(distinct b.branch_id), array_remove(array_agg(distinct a.activation_id), null)
  from ingest.branches b join ingest.sources s using (source_id) left join ingest.activations a using (branch_id)
 where s.name = %(source)s;

-- name: forget_requests
-- The requests of its items.
delete from core.embedding_requests q using core.items i
 where i.item_id = q.item_id and i.branch_id = any(%(branches)s);

-- name: forget_items
-- Its items.
delete from core.items where branch_id = any(%(branches)s);

-- name: forget_versions
-- Its history.
delete from core.item_versions where written_by_activation = any(%(activations)s);

-- name: forget_gates
-- Its gates.
delete from ingest.gates where activation_id = any(%(activations)s);

-- name: forget_profiles
-- Its profiles.
delete from ingest.profiles where activation_id = any(%(activations)s);

-- name: forget_rejects
-- Its rejects.
delete from ingest.rejects where activation_id = any(%(activations)s);

-- name: forget_batches
-- Its batch rows.
delete from ingest.batches where activation_id = any(%(activations)s);

-- name: forget_parts
-- Its parts.
delete from ingest.parts where activation_id = any(%(activations)s);

-- name: forget_activations
-- Its activations.
delete from ingest.activations where activation_id = any(%(activations)s);

-- name: forget_leases
-- The leases of its branches.
delete from ingest.leases where branch_id = any(%(branches)s);

-- name: forget_branches
-- Its branches.
delete from ingest.branches where branch_id = any(%(branches)s);

-- name: forget_source
-- The source itself.
delete from ingest.sources where name = %(source)s;
