-- name: baseline
-- The newest committed activation of the branch, if the normalizer and the spec are the same and no reject is gone.
with newest as (
  select * from ingest.activations
   where branch_id = %(branch_id)s and activation_id <> %(activation_id)s and kind = 'ingest'
     and state in ('committed', 'done')
   order by activation_id desc limit 1
)
select activation_id from newest n
 where normalizer_version = %(normalizer_version)s and spec = %(spec)s
   and rejected = (select count(*) from ingest.rejects r where r.activation_id = n.activation_id);

-- name: carry_rejects
-- Copy rejects of the baseline, with the numbers that their rows have now.
insert into ingest.rejects (activation_id, part, "row", external_id, errors, raw, raw_truncated)
select %(activation_id)s, %(part)s, now."row", r.external_id, r.errors, r.raw, r.raw_truncated
  from unnest(%(rows)s::bigint[], %(base_parts)s::int[], %(base_rows)s::bigint[]) as now("row", base_part, base_row)
  join ingest.rejects r
    on r.activation_id = %(baseline)s and r.part = now.base_part and r."row" = now.base_row;

-- name: carry_all_rejects
-- Copy the rejects of an identical part, without duplicates: those are decided anew, over all parts.
insert into ingest.rejects (activation_id, part, "row", external_id, errors, raw, raw_truncated)
select %(activation_id)s, %(part)s, r."row", r.external_id, r.errors, r.raw, r.raw_truncated
  from ingest.rejects r
 where r.activation_id = %(baseline)s and r.part = %(base_part)s and not r.errors @> '[{"code": "duplicate_key"}]';
