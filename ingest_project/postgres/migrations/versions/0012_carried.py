"""Rows that were carried forward from the activation before are counted.

Revision ID: 0012
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_script("carried.sql")


def downgrade() -> None:
    raise NotImplementedError("restore a backup: a downgrade would lose what was written since")
