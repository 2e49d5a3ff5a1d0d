-- The schema of release 0.1. Plain SQL for PostgreSQL 15 and later; needs no more than an owner of the database.
create schema if not exists ingest;
create schema if not exists core;

-- ── who may send ────────────────────────────────────────────────────────────────────────────────────────
create table ingest.sources (
  source_id  int generated always as identity primary key,
  name       text collate "C" not null,
  created_at timestamptz not null default now(),
  constraint source_names_are_unique unique (name),
  constraint source_name_length check (length(name) between 1 and 200)
);

create table ingest.branches (
  branch_id   int generated always as identity primary key,
  name        text collate "C" not null,
  source_id   int not null references ingest.sources,
  spec        jsonb not null,
  spec_digest text not null,
  priority    int not null,
  state       text not null default 'active',
  created_at  timestamptz not null default now(),
  applied_at  timestamptz not null default now(),
  constraint branch_names_are_unique unique (name),
  constraint branch_name_length check (length(name) between 1 and 200),
  constraint branch_state_is_known check (state in ('active', 'retired')),
  -- Two versions of an item never tie between branches: see rank in the README.
  constraint branch_priority_is_unique_in_its_source unique (source_id, priority)
);

-- ── what is to be ingested, and how far it is ───────────────────────────────────────────────────────────
create table ingest.activations (
  activation_id      bigint generated always as identity primary key,
  branch_id          int not null references ingest.branches,
  kind               text not null default 'ingest',
  state              text not null default 'requested',
  requested_by       text not null default session_user,
  claimed_by         text,              -- root run id of the run that works on it
  plan_only          boolean not null default false,   -- made by a dry run: nobody asked for it to be ingested
  spec               jsonb,             -- as it was when the source was pinned
  pin                jsonb,             -- what is read: files, sizes, times, digests, columns
  normalizer_version text,
  rows_read          bigint,
  rejected           bigint,
  valid              bigint,
  inserted           bigint,
  updated            bigint,
  touched            bigint,
  unchanged          bigint,
  stale              bigint,
  missing            bigint,            -- live items of the branch that this activation lacks
  requests           bigint,            -- embedding requests made or renewed
  plan               jsonb,
  error              jsonb,             -- {code, what, where, todo} of the last failure
  requested_at       timestamptz not null default now(),
  pinned_at          timestamptz,
  snapshotted_at     timestamptz,
  normalized_at      timestamptz,
  accepted_at        timestamptz,
  committed_at       timestamptz,
  done_at            timestamptz,
  closed_at          timestamptz,       -- refused, failed, superseded, rolled back
  constraint activation_kind_is_known check (kind in ('ingest', 'replay', 'rollback')),
  constraint activation_state_is_known check (state in (
    'requested', 'pinned', 'snapshotted', 'normalized', 'blocked', 'accepted', 'planned', 'committed', 'done',
    'refused', 'failed', 'superseded', 'rolled_back')),
  constraint planned_was_a_dry_run check (state <> 'planned' or plan_only),
  constraint pinned_says_what check (pinned_at is null or (pin is not null and spec is not null)),
  constraint snapshotted_was_pinned check (snapshotted_at is null or pinned_at is not null),
  constraint normalized_was_snapshotted check (normalized_at is null or snapshotted_at is not null),
  constraint accepted_was_normalized check (accepted_at is null or normalized_at is not null),
  constraint committed_was_accepted check (committed_at is null or accepted_at is not null),
  constraint done_was_committed check (done_at is null or committed_at is not null),
  constraint state_has_its_time check (
    case state
      when 'pinned' then pinned_at when 'snapshotted' then snapshotted_at when 'normalized' then normalized_at
      when 'blocked' then normalized_at when 'accepted' then accepted_at when 'planned' then accepted_at
      when 'committed' then committed_at when 'done' then done_at when 'requested' then requested_at
      else closed_at end is not null),
  constraint rows_read_are_rejects_or_valid check (
    normalized_at is null or coalesce(rows_read = rejected + valid, false)),
  constraint valid_rows_are_all_accounted_for check (
    committed_at is null or coalesce(valid = inserted + updated + touched + unchanged + stale, false)),
  constraint done_counts_its_requests check (done_at is null or requests is not null)
);
create unique index one_open_activation_per_branch on ingest.activations (branch_id)
  where state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned', 'committed');
create index activations_by_branch on ingest.activations (branch_id, activation_id desc);

-- What grows without end is partitioned by activation, so that retention drops partitions, not rows.
create table ingest.parts (
  activation_id bigint not null,
  asset         text not null,
  part          int not null,
  epoch         bigint not null,
  path          text not null,
  rows          int not null,
  bytes         bigint not null,
  digest        text not null,          -- sha256 of the file
  cursor        jsonb,                  -- where the source goes on after this part
  run_id        text not null,
  written_at    timestamptz not null default now(),
  primary key (activation_id, asset, part),
  constraint part_asset_is_known check (asset in ('branch_snapshot', 'normalized_items')),
  constraint part_counts_are_not_negative check (part >= 0 and rows >= 0 and bytes >= 0)
) partition by range (activation_id);

create table ingest.batches (
  activation_id bigint not null,
  part          int not null,
  valid         int not null,
  inserted      int not null,
  updated       int not null,
  touched       int not null,
  unchanged     int not null,
  stale         int not null,
  epoch         bigint not null,
  run_id        text not null,
  committed_at  timestamptz not null default now(),
  primary key (activation_id, part),
  constraint batch_accounts_for_every_row check (valid = inserted + updated + touched + unchanged + stale),
  constraint batch_counts_are_not_negative check (least(inserted, updated, touched, unchanged, stale) >= 0)
) partition by range (activation_id);

create table ingest.rejects (
  activation_id bigint not null,
  part          int not null,
  "row"         bigint not null,        -- of the source, counted from 1
  external_id   text,
  errors        jsonb not null,         -- [{field, code, message}]
  raw           bytea not null,         -- the row as JSON, capped; bytes, since jsonb refuses the rows it must hold
  raw_truncated boolean not null default false,
  rejected_at   timestamptz not null default now(),
  primary key (activation_id, part, "row"),
  constraint reject_says_why check (jsonb_typeof(errors) = 'array' and jsonb_array_length(errors) > 0)
) partition by range (activation_id);

-- ── who works on a branch ───────────────────────────────────────────────────────────────────────────────
create table ingest.leases (
  branch_id       int primary key references ingest.branches,
  epoch           bigint not null default 0,   -- grows with every take-over; each write compares it
  holder          text,                        -- root run id; null: free
  run_id          text,
  host            text,
  pid             int,
  process_started double precision,            -- tells a process from a later one with its pid
  acquired_at     timestamptz,
  heartbeat_at    timestamptz,
  expires_at      timestamptz,
  constraint held_lease_names_its_holder check (
    (holder is null) = (expires_at is null) and (holder is null) = (run_id is null)
    and (holder is null) = (acquired_at is null))
) with (fillfactor = 50);

-- ── the items ───────────────────────────────────────────────────────────────────────────────────────────
create table core.items (
  item_id               bigint generated by default as identity,
  source_id             int not null,
  external_id           text collate "C" not null,
  name                  text not null,
  category              text,
  description           text,
  status                text,
  street                text,
  house_number          text,
  unit                  text,
  po_box                text,
  sublocality           text,
  locality              text,
  region_name           text,
  region_code           text,
  postal_code           text,
  country_code          text,
  latitude              double precision,
  longitude             double precision,
  phone                 text,
  phone_ext             text,
  website_url           text,
  price                 numeric(14,4),
  currency              text,
  attributes            jsonb not null default '{}',
  issues                jsonb not null default '[]',
  content_hash          uuid not null,
  embed_hash            uuid not null,
  source_updated_at     timestamptz,
  priority              int not null,
  branch_id             int not null,
  activation_id         bigint not null,   -- wrote what the row says now
  created_activation_id bigint not null,
  part                  int not null,
  first_seen_at         timestamptz not null default now(),
  updated_at            timestamptz not null default now(),
  version               int not null default 1,
  deleted_at            timestamptz,
  constraint items_key primary key (source_id, external_id),
  constraint item_key_length check (length(external_id) between 1 and 200),
  constraint item_name_length check (length(name) between 1 and 500),
  constraint item_coordinates_are_a_pair check ((latitude is null) = (longitude is null)),
  constraint item_latitude_range check (latitude between -90 and 90),
  constraint item_longitude_range check (longitude between -180 and 180),
  constraint item_price_is_an_amount check (price >= 0 and price <> 'NaN'),
  constraint item_price_has_a_currency check ((price is null) = (currency is null)),
  constraint item_attributes_are_an_object check (jsonb_typeof(attributes) = 'object'),
  constraint item_issues_are_a_list check (jsonb_typeof(issues) = 'array'),
  constraint item_source_time_is_finite check (isfinite(source_updated_at)),
  constraint item_version_counts check (version >= 1)
) with (fillfactor = 90);
-- No more indexes than these two, and none on a column that every update changes: it would end HOT updates.
create unique index items_live on core.items (item_id) include (embed_hash) where deleted_at is null;
create index items_live_by_branch on core.items (branch_id) where deleted_at is null;

-- Old images, and by that the list of what an activation changed: rollback and the embedding ledger read it.
create table core.item_versions (
  written_by_activation bigint not null,
  item_id               bigint not null,
  version               int not null,      -- of the item after this change
  op                    "char" not null,   -- insert, update, delete, revive
  old                   jsonb,             -- the row before; none for an insert
  written_at            timestamptz not null default now(),
  primary key (written_by_activation, item_id, version),
  constraint version_op_is_known check (op in ('i', 'u', 'd', 'r')),
  constraint version_keeps_the_old_image check ((op = 'i') = (old is null))
) partition by range (written_by_activation);

-- ── embeddings: what must be, is being, or has been embedded ────────────────────────────────────────────
create table core.embedding_models (
  model_id         int generated always as identity primary key,
  provider         text not null,
  model            text not null,
  version          text not null,
  dims             int not null,
  template         text[] not null,        -- embeddable fields, in the order in which their text is joined
  template_version int not null default 1,
  state            text not null,
  created_at       timestamptz not null default now(),
  activated_at     timestamptz,
  retired_at       timestamptz,
  constraint embedding_models_are_unique unique (provider, model, version, dims, template_version),
  constraint embedding_model_state_is_known check (state in ('filling', 'active', 'retired')),
  constraint embedding_model_dims check (dims between 1 and 16000),
  constraint embedding_template_is_not_empty check (cardinality(template) > 0)
);
create unique index one_active_embedding_model on core.embedding_models (state) where state = 'active';

create table core.embedding_requests (
  model_id        int not null,
  item_id         bigint not null,
  branch_id       int not null,
  content_hash    uuid not null,           -- items.embed_hash that is wanted
  status          "char" not null default 'p',   -- pending, leased, done, dead (x)
  attempts        smallint not null default 0,
  rate_deferrals  smallint not null default 0,
  error_class     text,
  error           text,
  next_attempt_at timestamptz not null default now(),
  lease_id        uuid,
  leased_until    timestamptz,
  run_id          text,
  requested_at    timestamptz not null default now(),
  updated_at      timestamptz not null default now(),
  completed_at    timestamptz,
  primary key (model_id, item_id) include (content_hash),
  constraint request_status_is_known check (status in ('p', 'l', 'd', 'x')),
  constraint request_error_length check (length(error) <= 2000),
  constraint leased_request_has_its_lease check ((status = 'l') = (lease_id is not null)),
  constraint leased_request_has_its_deadline check ((status = 'l') = (leased_until is not null)),
  constraint done_request_has_its_time check ((status = 'd') = (completed_at is not null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0.05);
create index pending_requests on core.embedding_requests (model_id, branch_id, next_attempt_at, item_id)
  where status = 'p';
create index leased_requests on core.embedding_requests (leased_until) where status = 'l';
create index dead_requests on core.embedding_requests (model_id, updated_at) where status = 'x';

-- A lexical baseline that needs no service; a model is only ever replaced by activating another.
insert into core.embedding_models (provider, model, version, dims, template, state, activated_at)
values ('builtin', 'lexical-hashing', '1', 384,
        '{name,category,description,street,house_number,sublocality,locality,region_name,country_code}',
        'active', now());

-- ── partitions ──────────────────────────────────────────────────────────────────────────────────────────
-- The partitions for a block of 1,000 activations and the block after it, so that none is ever missing.
create function ingest.ensure_partitions(activation bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  parent regclass;
  block  bigint;
  child  text;
begin
  foreach block in array array[activation / 1000, activation / 1000 + 1] loop
    foreach parent in array array['ingest.parts'::regclass, 'ingest.batches'::regclass,
                                  'ingest.rejects'::regclass, 'core.item_versions'::regclass] loop
      child := parent::text || '_' || to_char(block, 'FM000000');
      if to_regclass(child) is null then
        perform pg_advisory_xact_lock(1768843109, -1);
        -- Attached, not made as `partition of`: that would lock the parent against the batches under way.
        if to_regclass(child) is null then
          execute format('create table %s (like %s including all)', child, parent);
          execute format('alter table %s attach partition %s for values from (%s) to (%s)',
                         parent, child, block * 1000, (block + 1) * 1000);
        end if;
      end if;
    end loop;
  end loop;
end $$;

create function ingest.before_activation() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform ingest.ensure_partitions(new.activation_id);
  return new;
end $$;

create trigger ensure_partitions before insert on ingest.activations
  for each row execute function ingest.before_activation();
select ingest.ensure_partitions(1);

-- ── activation by anybody who may call this ─────────────────────────────────────────────────────────────
-- Makes what the branch holds now eligible; returns the open activation where there is one.
create function ingest.activate(branch text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  known ingest.branches;
  found_id bigint;
begin
  select * into known from ingest.branches b where b.name = branch for no key update;
  if not found then
    raise exception using errcode = 'no_data_found', message = format('no branch %L is registered', branch),
      hint = 'Register it with: ingest branch apply FILE';
  end if;
  if known.state <> 'active' then
    raise exception using errcode = 'object_not_in_prerequisite_state',
      message = format('branch %L is %s', branch, known.state), hint = 'Apply its file again to make it active.';
  end if;
  -- Again where a run made one between the look and the insert.
  while found_id is null loop
    -- What a dry run made waits for exactly this: it is let through, its parts are used.
    update ingest.activations a
       set plan_only = false, state = case a.state when 'planned' then 'accepted' else a.state end
     where a.branch_id = known.branch_id and a.plan_only
       and a.state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'planned')
    returning a.activation_id into found_id;
    if found_id is null then
      select a.activation_id into found_id from ingest.activations a
       where a.branch_id = known.branch_id
         and a.state in ('requested', 'pinned', 'snapshotted', 'normalized', 'accepted', 'committed');
    end if;
    if found_id is null then
      insert into ingest.activations (branch_id, requested_by) values (known.branch_id, session_user)
      on conflict do nothing returning activation_id into found_id;
    end if;
  end loop;
  return found_id;
end $$;
revoke all on function ingest.activate(text) from public;
revoke all on function ingest.ensure_partitions(bigint) from public;

-- ── questions people ask ────────────────────────────────────────────────────────────────────────────────
create view ingest.activation_status as
select b.name as branch, a.activation_id, a.kind, a.state, a.rows_read, a.rejected, a.valid, a.inserted, a.updated,
       a.touched, a.unchanged, a.stale, a.missing, a.requests, a.requested_at, a.done_at, a.claimed_by,
       l.holder as held_by, l.host, l.heartbeat_at, a.error
  from ingest.activations a
  join ingest.branches b using (branch_id)
  left join ingest.leases l on l.branch_id = a.branch_id and l.holder = a.claimed_by;

-- Names, run and place of origin by join, so that a row of core.items stays narrow.
create view core.items_with_provenance as
select i.*, s.name as source, b.name as branch, t.run_id, t.committed_at as written_at,
       a.pin -> 'files' as files
  from core.items i
  join ingest.sources s using (source_id)
  join ingest.branches b on b.branch_id = i.branch_id
  left join ingest.activations a on a.activation_id = i.activation_id
  left join ingest.batches t on t.activation_id = i.activation_id and t.part = i.part;

-- Roles are the DBA's to make; where they exist they get what they need.
do $$
begin
  if exists (select from pg_roles where rolname = 'ingest_activator') then
    grant usage on schema ingest to ingest_activator;
    grant execute on function ingest.activate(text) to ingest_activator;
  end if;
  if exists (select from pg_roles where rolname = 'ingest_reader') then
    grant usage on schema ingest, core to ingest_reader;
    grant select on all tables in schema ingest, core to ingest_reader;
  end if;
end $$;
