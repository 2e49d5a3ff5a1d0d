"""Tombstones counted, rollbacks beside the line of a branch's activations, rejects that were replayed.

Revision ID: 0007
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0007"
down_revision = "0002"


def upgrade() -> None:
    run_script("reversible.sql")


def downgrade() -> None:
    raise NotImplementedError("what was tombstoned and rolled back cannot be told without these columns")
