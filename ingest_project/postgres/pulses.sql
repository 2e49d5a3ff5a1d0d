-- name: beat
-- Records a heartbeat.
insert into ingest.pulses (what, at) values (%(what)s, now()) on conflict (what) do update set at = excluded.at;

-- name: pulses
-- How long ago each had its last heartbeat.
select what, now() - at from ingest.pulses;
