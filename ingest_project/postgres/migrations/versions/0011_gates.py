"""Gates with what was accepted, profiles, and the drift of a source's columns.

Revision ID: 0011
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_script("gates.sql")


def downgrade() -> None:
    raise NotImplementedError("what was accepted would be forgotten; restore a dump of the release before instead")
