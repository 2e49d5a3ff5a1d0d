-- What was measured of an activation against which limit, and what a person accepted all the same.
create table ingest.gates (
  activation_id bigint not null references ingest.activations,
  code          text not null,           -- a limit of the branch without its max_; null_ratio.FIELD
  measured      double precision not null,
  "limit"       double precision not null,
  what          text not null,           -- in words
  passed        boolean not null generated always as (measured <= "limit") stored,
  measured_at   timestamptz not null default now(),
  accepted_by   text,
  accepted_at   timestamptz,
  why           text,
  primary key (activation_id, code),
  constraint gate_is_measured check (measured <> 'NaN' and "limit" <> 'NaN'),
  constraint accepted_gate_says_who_and_why check (
    (accepted_at is null) = (accepted_by is null) and (accepted_at is null) = (why is null)),
  constraint accepted_gate_has_a_reason check (length(btrim(why)) > 0)
);

-- What the source's columns look like, against those of the last committed activation.
alter table ingest.activations add column drift jsonb;

-- Per column: nulls, different values, extremes, frequent values; and how often each issue was noted.
create table ingest.profiles (
  activation_id bigint primary key references ingest.activations,
  profile       jsonb not null,
  made_at       timestamptz not null default now(),
  constraint profile_is_an_object check (jsonb_typeof(profile) = 'object')
);

-- Normalization may be stopped early by its gate: blocked, not yet normalized.
alter table ingest.activations drop constraint state_has_its_time;
alter table ingest.activations add constraint state_has_its_time check (
  case state
    when 'pinned' then pinned_at when 'snapshotted' then snapshotted_at when 'normalized' then normalized_at
    when 'blocked' then snapshotted_at when 'accepted' then accepted_at when 'planned' then accepted_at
    when 'committed' then committed_at when 'done' then done_at when 'requested' then requested_at
    else closed_at end is not null);

do $$
begin
  if exists (select from pg_roles where rolname = 'ingest_reader') then
    grant select on ingest.gates, ingest.profiles to ingest_reader;
  end if;
end $$;
