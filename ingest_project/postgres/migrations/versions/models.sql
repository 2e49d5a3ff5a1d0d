-- How a model is reached and what it costs. Never a secret: keys are named by their environment variables.
alter table core.embedding_models add column options jsonb not null default '{}';
alter table core.embedding_models
  add constraint embedding_model_options_are_an_object check (jsonb_typeof(options) = 'object');
