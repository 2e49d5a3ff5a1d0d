"""Release 0.1: registry, activations, parts, batches, leases, items, history, the embedding ledger.

Revision ID: 0001
"""

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("first.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first release; drop the schemas ingest and core instead")
