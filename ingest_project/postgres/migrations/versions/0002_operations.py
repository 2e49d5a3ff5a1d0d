"""What may be pruned and what was, and a view per question that people ask.

Revision ID: 0002
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_script("operations.sql")


def downgrade() -> None:
    raise NotImplementedError("restore a backup: a downgrade would lose what was written since")
