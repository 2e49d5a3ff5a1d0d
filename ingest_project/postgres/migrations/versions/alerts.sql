-- What is wrong with a branch, and whether anybody was told: one row a branch, kept until it has recovered.
create table ingest.alerts (
  branch_id     int primary key references ingest.branches,
  event         text not null,
  activation_id bigint,
  run_id        text,
  code          text not null,
  what          text not null,
  todo          text not null,
  since         timestamptz not null default now(),
  times         int not null default 1,
  told_at       timestamptz,
  constraint alert_event_is_known check (event in ('failed', 'refused', 'recovered')),
  constraint alert_counts check (times >= 1)
);
