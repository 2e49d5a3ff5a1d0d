-- When what works by itself was last heard of: the daemon at each tick of its sensor, the chores of the night at their end.
create table ingest.pulses (
  what text primary key,
  at   timestamptz not null default now(),
  constraint pulse_is_of_something_known check (what in ('daemon', 'prune', 'reconcile'))
) with (fillfactor = 50);
comment on table ingest.pulses is
  'Who is at work besides runs: when the daemon was last heard of, when pruning and reconciling last came to their end.';

do $$
begin
  if exists (select from pg_roles where rolname = 'ingest_reader') then
    grant select on ingest.pulses to ingest_reader;
  end if;
end $$;
