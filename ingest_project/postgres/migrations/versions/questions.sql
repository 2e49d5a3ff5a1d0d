-- The question that each view answers, where a DBA's tools show it.
comment on view ingest.branch_status is
  'How is each branch: its newest activation, who works on it, since when nothing went through.';
comment on view ingest.activation_status is
  'What became of each activation: its state, what happened to its rows, who holds it, and what went wrong.';
comment on view ingest.reject_reasons is
  'Why rows were set aside: by activation, field and code, with one of the messages and the first row.';
comment on view ingest.source_freshness is
  'How far behind its source each branch is: when the newest of its files was written, when it was in core.items.';
comment on view ingest.batch_pace is
  'How fast a batch is, part by part: what became of its rows, and the seconds since the one before it.';
comment on view ingest.ended_activations is
  'Activations that have ended, when, and whether something still goes back to them: those are never pruned.';
comment on view ingest.activation_partitions is
  'Partitions of the tables that grow without end, by block of a thousand activations: what pruning drops.';
comment on view core.items_with_provenance is
  'Items with the names of source and branch, and the run, the time and the files that they came from.';
