-- name: keep_profile
-- What the columns of an activation hold.
insert into ingest.profiles (activation_id, profile) values (%(activation_id)s, %(profile)s)
on conflict (activation_id) do update set profile = excluded.profile, made_at = now();

-- name: find_profile
-- The profile of an activation, if one was made.
select profile from ingest.profiles where activation_id = %(activation_id)s;
