"""Release 0.1: registry, activations, parts, batches, leases, items, history, the embedding ledger.

Revision ID: 0001
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_script("first.sql")


def downgrade() -> None:
    raise NotImplementedError("there is nothing before the first release; drop the schemas ingest and core instead")
