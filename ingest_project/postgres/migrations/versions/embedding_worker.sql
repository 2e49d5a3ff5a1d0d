-- A provider that said "too fast", or failed: all workers wait, whichever of them it told.
create table core.embedding_providers (
  provider     text primary key,
  failures     int not null default 0,     -- in a row
  paused_until timestamptz not null,
  reason       text,
  updated_at   timestamptz not null default now(),
  constraint provider_failures_count check (failures >= 0)
);
do $$
begin
  if exists (select from pg_roles where rolname = 'ingest_reader') then
    grant select on core.embedding_providers to ingest_reader;
  end if;
end $$;
