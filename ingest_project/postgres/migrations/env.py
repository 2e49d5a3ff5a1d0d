"""Alembic's entry: the connection comes from `migrate`, already inside its transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="ingest",
    transaction_per_migration=False,
)
context.run_migrations()
