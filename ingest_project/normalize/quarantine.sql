-- name: keep_rejects
-- Rows set aside, with why.
copy ingest.rejects (activation_id, part, "row", external_id, errors, raw, raw_truncated) from stdin;

-- name: count_rejects
-- All that an activation set aside.
select count(*) from ingest.rejects where activation_id = %(activation_id)s;

-- name: losers_per_part
-- How many rows of a normalized part gave way to another row with their key.
select part, count(*)::int from ingest.rejects
 where activation_id = %(activation_id)s
   and (errors @> '[{"code": "duplicate_key"}]' or errors @> '[{"code": "key_superseded"}]') group by part;

-- name: losers_of_part
-- Which rows of a normalized part gave way to another row with their key.
select "row" from ingest.rejects
 where activation_id = %(activation_id)s and part = %(part)s
   and (errors @> '[{"code": "duplicate_key"}]' or errors @> '[{"code": "key_superseded"}]');

-- name: reject_codes
-- Why rows were set aside, most frequent first.
select e ->> 'code', count(*) from ingest.rejects, jsonb_array_elements(errors) e
 where activation_id = %(activation_id)s group by 1 order by 2 desc, 1;

-- name: count_replayed
-- How many rows that an activation set aside a replay has taken up since.
select count(*) from ingest.rejects where activation_id = %(activation_id)s and replayed_by is not null;

-- name: listed_rejects
-- Rows that are still set aside, in the order of the source; all of them, or those with one code.
select r."row", r.external_id, r.errors, r.raw, r.raw_truncated from ingest.rejects r
 where r.activation_id = %(activation_id)s and r.replayed_by is null
   and (%(code)s::text is null or r.errors @> jsonb_build_array(jsonb_build_object('code', %(code)s::text)))
 order by r.part, r."row";
