"""The sensor of embeddings is heard of beside that of activations.

Revision ID: 0024
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_script("sensors_heard.sql")


def downgrade() -> None:
    raise NotImplementedError("a wider check refuses nothing that an older release writes")
