-- Where a model's texts go: the endpoint that it declares, or the variable that holds it, or what its provider has.
alter table core.embedding_models add column endpoint text not null generated always as (
  provider || coalesce(' at ' || (options ->> 'base_url'), ' at $' || (options ->> 'base_url_env'), '')) stored;
alter table core.embedding_providers rename to embedding_endpoints;
alter table core.embedding_endpoints rename column provider to endpoint;
