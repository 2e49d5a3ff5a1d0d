-- name: save_profile
-- Store the profile of an activation.
insert into ingest.profiles (activation_id, profile) values (%(activation_id)s, %(profile)s)
on conflict (activation_id) do update set profile = excluded.profile, made_at = now();

-- name: find_profile
-- The profile of an activation, if one was made.
select profile from ingest.profiles where activation_id = %(activation_id)s;

-- name: has_same_items
-- Whether the items of two activations are identical, whatever the order of their parts.
select (select array_agg(digest order by digest) from ingest.parts
         where activation_id = %(first)s and asset = 'normalized_items' and rows > 0)
     = (select array_agg(digest order by digest) from ingest.parts
         where activation_id = %(second)s and asset = 'normalized_items' and rows > 0);
