"""What embedding workers share: the pause of a provider.

Revision ID: 0008
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_script("embedding_worker.sql")


def downgrade() -> None:
    raise NotImplementedError("releases only go forward; restore a backup to go back")
