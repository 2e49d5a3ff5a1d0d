-- name: due_branches
-- Branches with requests that are due or whose lease has expired, unless the endpoint is paused. One index probe per
-- branch and model.
select b.branch_id, b.name
  from ingest.branches b
 where exists (select from core.embedding_models m
                where m.state in ('active', 'filling')
                  and not exists (select from core.embedding_endpoints p
                                   where p.endpoint = m.endpoint and p.paused_until > now())
                  and exists (select from core.embedding_requests r
                               where r.model_id = m.model_id and r.branch_id = b.branch_id and r.status = 'p'
                                 and r.next_attempt_at <= now()))
    or b.branch_id in (select r.branch_id from core.embedding_requests r
                        where r.status = 'l' and r.leased_until < now())
 order by b.name;

-- name: vectors_table_exists
-- Whether there is a table of vectors.
select to_regclass('core.item_embeddings') is not null;

-- name: try_lock_branch
-- One run at a time drains a branch. Other workers are kept apart by the leases of the ledger.
select pg_try_advisory_lock(%(namespace)s, %(branch_id)s);

-- name: count_lost
-- Requests of a branch that are done although their vector is missing or of another text.
select count(*)
  from core.embedding_requests r
  left join core.item_embeddings e on e.model_id = r.model_id and e.item_id = r.item_id
 where r.branch_id = %(branch_id)s and r.status = 'd' and e.content_hash is distinct from r.content_hash;
