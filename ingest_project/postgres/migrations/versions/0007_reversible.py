"""Tombstones counted, rollbacks beside the line of a branch's activations, rejects that were replayed.

Revision ID: 0007
"""

from importlib.resources import files

from alembic import op

revision = "0007"
down_revision = "0002"


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("reversible.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("what was tombstoned and rolled back cannot be told without these columns")
