"""What embedding workers share: the pause of a provider.

Revision ID: 0008
"""

from importlib.resources import files

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("embedding_worker.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("releases only go forward; restore a backup to go back")
