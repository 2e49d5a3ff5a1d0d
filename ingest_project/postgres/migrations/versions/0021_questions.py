"""Each view says in the database what question it answers.

Revision ID: 0021
"""

from ingest_project.postgres.migrations.versions import run_script

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_script("questions.sql")


def downgrade() -> None:
    raise NotImplementedError("nothing is lost by keeping what views say of themselves")
