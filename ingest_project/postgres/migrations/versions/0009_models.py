"""Options of embedding models: where they are reached, price, limits, precision.

Revision ID: 0009
"""

from importlib.resources import files

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("models.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a backup to go back")
