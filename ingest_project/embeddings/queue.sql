-- name: claim
-- Leases the next requests that are due, up to a number and a token budget, with the current texts of their items. The
-- keyset (next_attempt_at, item_id) steps over dead index entries of earlier claims, which remain while something
-- holds vacuum back. A request for an older text is changed to the current one; one whose item is deleted is dropped.
-- The commit does not wait for the disk: if a crash of the server loses a lease, the request is pending again.
with hurried as materialized (
  select set_config('synchronous_commit', 'off', true)
), due as materialized (
  select r.ctid as place, r.item_id, r.next_attempt_at
    from hurried cross join core.embedding_requests r
   where r.model_id = %(model_id)s and r.branch_id = %(branch_id)s and r.status = 'p'
     and r.next_attempt_at <= now() and (r.next_attempt_at, r.item_id) > (%(after)s, %(after_item)s)
     and not exists (select from core.embedding_endpoints p where p.endpoint = %(endpoint)s and p.paused_until > now())
   order by r.next_attempt_at, r.item_id
   limit %(count)s
     for update of r skip locked
), weighed as (
  select d.place, d.item_id, t.embed_hash, t.text,
         sum(octet_length(t.text) / %(bytes_per_token)s + 1) over in_order as tokens,
         row_number() over in_order as position
    from due d
    left join lateral (select i.embed_hash, {text} as text from core.items i
                        where i.item_id = d.item_id and i.deleted_at is null) t on true
  window in_order as (order by d.next_attempt_at, d.item_id)
), gone as (
  delete from core.embedding_requests r using weighed w where r.ctid = w.place and w.embed_hash is null
), claimed as (
  update core.embedding_requests r
     set status = 'l', lease_id = %(lease_id)s, leased_until = now() + make_interval(secs => %(lease_seconds)s),
         run_id = %(run_id)s, content_hash = w.embed_hash, updated_at = now()
    from weighed w
   where r.ctid = w.place and w.embed_hash is not null and (w.tokens <= %(tokens)s or w.position = 1)
  returning r.item_id, r.content_hash, w.text, r.attempts, r.next_attempt_at, r.ctid as place
)
select item_id, uuid_send(content_hash), text, attempts, next_attempt_at, place
  from claimed order by next_attempt_at, item_id;

-- name: vector_oid
-- The oid of pgvector's type in this database, which binary arrays name.
select 'vector'::regtype::oid::int;

-- name: complete
-- Acknowledges requests and stores their vectors in one statement: only those that this lease still holds and that are
-- still for the text that was embedded. A late worker, or one whose item changed meanwhile, stores nothing. Requests
-- are found by the ctid that they had after the claim. Each array is in a select of its own, so that the planner
-- expects few rows: if it knew of 500, it would scan ledgers of up to some ten thousand requests for each batch.
-- Nobody else writes the vector of a request that is leased, so no `on conflict` is needed.
with held as (
  select place, item_id, content_hash, embedding
    from unnest((select %(ctids)s::tid[]), (select %(item_ids)s::bigint[]), (select %(hashes)s::uuid[]),
                (select %(vectors)s::vector[])) as given (place, item_id, content_hash, embedding)
), acknowledged as (
  update core.embedding_requests r
     set status = 'd', completed_at = now(), updated_at = now(), lease_id = null, leased_until = null,
         error_class = null, error = null
    from held h
   where r.ctid = h.place and r.model_id = %(model_id)s and r.item_id = h.item_id and r.lease_id = %(lease_id)s
     and r.content_hash = h.content_hash
  returning h.item_id, h.content_hash, h.embedding
), known as materialized (
  select a.item_id, a.content_hash, a.embedding, e.place
    from acknowledged a
    left join lateral (select e.ctid as place from core.item_embeddings e
                        where e.model_id = %(model_id)s and e.item_id = a.item_id limit 1) e on true
), replaced as (
  update core.item_embeddings e set content_hash = k.content_hash, embedding = k.embedding, embedded_at = now()
    from known k where k.place is not null and e.ctid = k.place and e.model_id = %(model_id)s and e.item_id = k.item_id
), stored as (
  insert into core.item_embeddings (model_id, item_id, content_hash, embedding)
  select %(model_id)s, item_id, content_hash, embedding from known where place is null
)
select count(*) from known;

-- name: find_moved
-- The current ctids of requests of a claim: renewing a lease changes them.
select item_id, ctid as place from core.embedding_requests
 where model_id = %(model_id)s and item_id = any(%(item_ids)s) and lease_id = %(lease_id)s;

-- name: fail
-- Uses up an attempt; the next one waits twice as long, or the request is dead. One jitter for the batch, so that its
-- requests stay due together.
update core.embedding_requests
   set attempts = attempts + 1, status = case when attempts + 1 >= %(attempts)s then 'x' else 'p' end,
       next_attempt_at = now() + make_interval(secs => least(%(longest)s, %(first)s * 2.0 ^ attempts) * %(jitter)s),
       error_class = %(error_class)s, error = %(error)s, lease_id = null, leased_until = null, updated_at = now()
 where model_id = %(model_id)s and item_id = any(%(item_ids)s) and lease_id = %(lease_id)s
returning status = 'x';

-- name: bury
-- Texts that the provider refused: no further attempt.
update core.embedding_requests
   set attempts = attempts + 1, status = 'x', error_class = %(error_class)s, error = %(error)s, lease_id = null,
       leased_until = null, updated_at = now()
 where model_id = %(model_id)s and item_id = any(%(item_ids)s) and lease_id = %(lease_id)s
returning true;

-- name: defer
-- A rate limit is not a failure: it uses up no attempt, and the whole batch is due when the endpoint's pause ends.
update core.embedding_requests
   set status = 'p', rate_deferrals = least(rate_deferrals + 1, 32767),
       next_attempt_at = now() + make_interval(secs => %(seconds)s),
       error_class = %(error_class)s, error = %(error)s, lease_id = null, leased_until = null, updated_at = now()
 where model_id = %(model_id)s and item_id = any(%(item_ids)s) and lease_id = %(lease_id)s
returning false;

-- name: release
-- Hands leases back, and skips those that the worker's other session is just completing (see `renew`).
with held as materialized (
  select model_id, item_id from core.embedding_requests
   where model_id = %(model_id)s and item_id = any(%(item_ids)s) and lease_id = %(lease_id)s
     for no key update skip locked
)
update core.embedding_requests r
   set status = 'p', lease_id = null, leased_until = null, updated_at = now()
  from held h where r.model_id = h.model_id and r.item_id = h.item_id and r.lease_id = %(lease_id)s;

-- name: renew
-- Keeps the lease of a call that takes long. Locked rows are skipped: the worker's other session is just completing
-- them, so they need no lease any more, and waiting for them in another order caused a deadlock.
with held as materialized (
  select model_id, item_id from core.embedding_requests
   where model_id = %(model_id)s and item_id = any(%(item_ids)s) and lease_id = %(lease_id)s
     for no key update skip locked
)
update core.embedding_requests r
   set leased_until = now() + make_interval(secs => %(lease_seconds)s)
  from held h where r.model_id = h.model_id and r.item_id = h.item_id and r.lease_id = %(lease_id)s;

-- name: rescue
-- Expired leases: their worker was killed or cut off. It counts as an attempt, or else a text that kills its worker
-- would be tried for ever.
update core.embedding_requests
   set attempts = attempts + 1, status = case when attempts + 1 >= %(attempts)s then 'x' else 'p' end,
       next_attempt_at = now(), error_class = 'lease_expired', error = 'the worker that held it was not heard of again',
       lease_id = null, leased_until = null, updated_at = now()
 where status = 'l' and leased_until < now();

-- name: pause
-- All workers of an endpoint wait: as long as it asks for, or twice as long with each failure in a row. Failures of
-- calls that were under way when the pause began do not make it longer.
insert into core.embedding_endpoints as p (endpoint, failures, paused_until, reason)
values (%(endpoint)s, 1, now() + make_interval(secs => coalesce(%(seconds)s::float8, %(first)s)), %(reason)s)
on conflict (endpoint) do update
   set failures = p.failures + (p.paused_until <= now())::int,
       paused_until = case when %(seconds)s::float8 is not null then
                             greatest(p.paused_until, now() + make_interval(secs => %(seconds)s))
                           when p.paused_until <= now() then
                             now() + make_interval(secs => least(%(longest)s, %(first)s * 2.0 ^ p.failures))
                           else p.paused_until end,
       reason = excluded.reason, updated_at = now()
returning greatest(extract(epoch from paused_until - now()), 0)::float8;

-- name: unpause
-- The endpoint has answered: the next failure is the first one again.
update core.embedding_endpoints set failures = 0, updated_at = now()
 where endpoint = %(endpoint)s and failures > 0 and paused_until <= now();

-- name: pending_branches
-- Branches with pending requests of a model, with one index probe for each (a loose index scan).
with recursive found as (
  (select min(branch_id) as branch_id from core.embedding_requests where model_id = %(model_id)s and status = 'p')
  union all
  select (select min(r.branch_id) from core.embedding_requests r
           where r.model_id = %(model_id)s and r.status = 'p' and r.branch_id > f.branch_id)
    from found f where f.branch_id is not null
)
select branch_id from found where branch_id is not null;

-- name: next_due
-- Seconds until a request of a branch can be claimed or rescued; null where there is none.
select extract(epoch from least(
         (select greatest(due.at, (select p.paused_until from core.embedding_endpoints p
                                    where p.endpoint = %(endpoint)s), now())
            from (select min(r.next_attempt_at) as at from core.embedding_requests r
                   where r.model_id = %(model_id)s and r.branch_id = any(%(branches)s) and r.status = 'p') due
           where due.at is not null),
         (select min(r.leased_until) from core.embedding_requests r
           where r.status = 'l' and r.model_id = %(model_id)s
             and (%(branch_id)s::int is null or r.branch_id = %(branch_id)s))) - now())::float8;

-- name: count_pending
-- How many requests wait, and when the next of them is due.
select count(*), min(next_attempt_at) from core.embedding_requests
 where model_id = %(model_id)s and status = 'p' and (%(branch_id)s::int is null or branch_id = %(branch_id)s);

-- name: mean_text_bytes
-- Mean length of the texts of a sample of pending requests.
select coalesce(avg(octet_length({text})), 0)::float8
  from (select item_id from core.embedding_requests
         where model_id = %(model_id)s and status = 'p' and (%(branch_id)s::int is null or branch_id = %(branch_id)s)
         limit 1000) r
  join core.items i on i.item_id = r.item_id and i.deleted_at is null;

-- name: retry_dead
-- Dead requests become pending again, after a person has removed the cause.
update core.embedding_requests
   set status = 'p', attempts = 0, rate_deferrals = 0, next_attempt_at = now(), updated_at = now()
 where status = 'x' and (%(branch_id)s::int is null or branch_id = %(branch_id)s)
   and (%(error_class)s::text is null or error_class = %(error_class)s);
