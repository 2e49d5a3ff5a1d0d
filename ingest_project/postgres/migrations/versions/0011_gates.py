"""Gates with what was accepted, profiles, and the drift of a source's columns.

Revision ID: 0011
"""

from importlib.resources import files

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    text = files("ingest_project.postgres.migrations.versions").joinpath("gates.sql")
    # To psycopg itself: SQLAlchemy would take every % of it for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "migrate() holds it open"
    driver.execute(text.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise NotImplementedError("what was accepted would be forgotten; restore a dump of the release before instead")
