"""When the daemon, pruning and reconciling were last heard of.

Revision ID: 0023
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0023"
down_revision = "0021"


def upgrade() -> None:
    run_script("pulses.sql")


def downgrade() -> None:
    raise NotImplementedError("what is heard of the daemon is of no use without this table, and of no harm with it")
