"""What a gate of the source stops was pinned, and waits to be read.

Revision ID: 0020
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0020"
down_revision = "0017"


def upgrade() -> None:
    run_script("gates_of_the_source.sql")


def downgrade() -> None:
    raise NotImplementedError("what waits at a gate of its source would have no state; restore a dump instead")
