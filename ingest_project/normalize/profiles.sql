-- name: keep_profile
-- What the columns of an activation hold.
insert into ingest.profiles (activation_id, profile) values (%(activation_id)s, %(profile)s)
on conflict (activation_id) do update set profile = excluded.profile, made_at = now();

-- name: find_profile
-- The profile of an activation, if one was made.
select profile from ingest.profiles where activation_id = %(activation_id)s;

-- name: same_parts
-- Whether the items of two activations are the same to the byte, whatever the order of their parts.
select (select array_agg(digest order by digest) from ingest.parts
         where activation_id = %(one)s and asset = 'normalized_items' and rows > 0)
     = (select array_agg(digest order by digest) from ingest.parts
         where activation_id = %(other)s and asset = 'normalized_items' and rows > 0);
