-- name: beat
-- That something was at work just now.
insert into ingest.pulses (what, at) values (%(what)s, now()) on conflict (what) do update set at = excluded.at;

-- name: pulses
-- How long ago each was heard of.
select what, now() - at from ingest.pulses;
