"""A pause is an endpoint's: two servers of one provider do not wait for each other.

Revision ID: 0017
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0017"
down_revision = "0012"


def upgrade() -> None:
    run_script("endpoints.sql")


def downgrade() -> None:
    raise NotImplementedError("restore a backup: a downgrade would lose what was written since")
