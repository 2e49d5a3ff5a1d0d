-- Each sensor that starts runs is heard of by itself: one of them may be switched off.
alter table ingest.pulses drop constraint pulse_is_of_something_known;
alter table ingest.pulses add constraint pulse_is_of_something_known
  check (what in ('daemon', 'embedding', 'prune', 'reconcile'));
comment on table ingest.pulses is
  'Who is at work besides runs: when the sensors of activations (daemon) and of embeddings last ticked, when pruning and '
  'reconciling last came to their end.';
