"""What is wrong with a branch, and whether anybody was told.

Revision ID: 0010
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_script("alerts.sql")


def downgrade() -> None:
    raise NotImplementedError("restore a backup: a downgrade would lose what was written since")
