-- name: write_rejects
-- Store rejects.
copy ingest.rejects (activation_id, part, "row", external_id, errors, raw, raw_truncated) from stdin;

-- name: count_rejects
-- The number of rejects of an activation.
select count(*) from ingest.rejects where activation_id = %(activation_id)s;

-- name: losers_per_part
-- The number of rows in each normalized part that lost to another row with their key.
select part, count(*)::int from ingest.rejects
 where activation_id = %(activation_id)s
   and (errors @> '[{"code": "duplicate_key"}]' or errors @> '[{"code": "key_superseded"}]') group by part;

-- name: losers_of_part
-- The rows of a normalized part that lost to another row with their key.
select "row" from ingest.rejects
 where activation_id = %(activation_id)s and part = %(part)s
   and (errors @> '[{"code": "duplicate_key"}]' or errors @> '[{"code": "key_superseded"}]');

-- name: reject_codes
-- The number of rejects with each code, most frequent first.
select e ->> 'code', count(*) from ingest.rejects, jsonb_array_elements(errors) e
 where activation_id = %(activation_id)s group by 1 order by 2 desc, 1;

-- name: count_replayed
-- The number of rejects that have been replayed.
select count(*) from ingest.rejects where activation_id = %(activation_id)s and replayed_by is not null;

-- name: listed_rejects
-- The rejects that have not been replayed, in source order; all of them, or those with one code.
select r."row", r.external_id, r.errors, r.raw, r.raw_truncated from ingest.rejects r
 where r.activation_id = %(activation_id)s and r.replayed_by is null
   and (%(code)s::text is null or r.errors @> jsonb_build_array(jsonb_build_object('code', %(code)s::text)))
 order by r.part, r."row";
