"""What may be pruned and what was, and a view per question that people ask.

Revision ID: 0002
"""

from importlib.resources import files

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("operations.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup: a downgrade would lose what was written since")
