"""Options of embedding models: where they are reached, price, limits, precision.

Revision ID: 0009
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_script("models.sql")


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only; restore a backup to go back")
