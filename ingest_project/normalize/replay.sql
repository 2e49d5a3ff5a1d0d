-- name: rows_to_replay
-- Rejects that are not replayed yet, of committed activations; without duplicates, and only if no later activation has
-- lost its parts to pruning, since its keys would be unknown.
select r.activation_id, r.part, r."row", r.raw from ingest.rejects r join ingest.activations a using (activation_id)
 where a.branch_id = %(branch_id)s and a.kind = 'ingest' and a.state in ('committed', 'done')
   and r.replayed_by is null and not r.raw_truncated and not r.errors @> '[{"code": "duplicate_key"}]'
   and not exists (
     select from ingest.activations l
      where l.branch_id = a.branch_id and l.activation_id > a.activation_id and l.kind = 'ingest'
        and l.state in ('committed', 'done') and l.valid > 0
        and not exists (select from ingest.parts p
                         where p.activation_id = l.activation_id and p.asset = 'normalized_items'))
 order by r.activation_id, r."row";

-- name: count_truncated
-- The number of rejects that cannot be replayed, since their raw row was truncated.
select count(*) from ingest.rejects r join ingest.activations a using (activation_id)
 where a.branch_id = %(branch_id)s and a.kind = 'ingest' and a.state in ('committed', 'done')
   and r.replayed_by is null and r.raw_truncated;

-- name: parts_since
-- The normalized parts of an activation and of those ingested after it.
select l.activation_id, p.path from ingest.activations l
  join ingest.parts p on p.activation_id = l.activation_id and p.asset = 'normalized_items' and p.rows > 0
 where l.branch_id = %(branch_id)s and l.kind = 'ingest' and l.state in ('committed', 'done')
   and l.activation_id >= %(first)s
 order by l.activation_id, p.part;

-- name: newest_ingested
-- The newest activation of the branch that is in core.
select max(activation_id) from ingest.activations
 where branch_id = %(branch_id)s and kind = 'ingest' and state in ('committed', 'done');
