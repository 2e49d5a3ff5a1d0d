-- name: due_branches
-- Branches in which a worker would find something now: requests that are due, or held by a worker that is gone; not
-- while their endpoint is left alone. An index probe per branch and model.
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

-- name: can_be_stored
-- Whether there is a table of vectors.
select to_regclass('core.item_embeddings') is not null;

-- name: take_turn
-- One run at a time embeds a branch; the ledger's leases keep apart what this lock cannot see.
select pg_try_advisory_lock(%(namespace)s, %(branch_id)s);

-- name: count_lost
-- Requests of a branch that are done, and whose vector is not there or is of another text.
select count(*)
  from core.embedding_requests r
  left join core.item_embeddings e on e.model_id = r.model_id and e.item_id = r.item_id
 where r.branch_id = %(branch_id)s and r.status = 'd' and e.content_hash is distinct from r.content_hash;
