"""Rows that were carried forward from the activation before are counted.

Revision ID: 0012
"""

from importlib.resources import files

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("carried.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup: a downgrade would lose what was written since")
