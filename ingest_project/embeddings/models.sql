-- name: get_model
-- One model, whatever its state.
select model_id, provider, model, version, dims, template, template_version, state
  from core.embedding_models where model_id = %(model_id)s;

-- name: working_models
-- The active model, then those that are filled beside it.
select model_id, provider, model, version, dims, template, template_version, state
  from core.embedding_models where state in ('active', 'filling') order by state = 'active' desc, model_id;
