-- Rows that were as in the activation before and took their item or reject from it: per part, and of all.
alter table ingest.parts
  add column carried int not null default 0,
  add constraint carried_rows_are_rows check (carried >= 0);
alter table ingest.activations
  add column carried bigint,
  add constraint carried_rows_were_read check (carried between 0 and rows_read);
