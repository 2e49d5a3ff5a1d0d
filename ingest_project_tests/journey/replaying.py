"""Replays without Dagster: begun, and run in this process or in one that may be killed."""

from typing import Any
from uuid import uuid4

from ingest_project.branches import registry
from ingest_project.branches.activations import Activation
from ingest_project.extract.store import PartStore
from ingest_project.normalize.replay import begin_replay
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.torture import chain
from ingest_project_tests.journey.states import rows


def begin(name: str, rows_per_part: int = 2) -> int:
    """Make the activation of a replay and its snapshot; its number."""
    with session() as connection:
        branch = registry.get_branch(connection, name)
        with leases.held(connection, branch.branch_id, name, run_id=str(uuid4())) as lease:
            work = begin_replay(connection, lease, branch, PartStore(settings().store_location), rows_per_part)
    return work.activation.activation_id


def replay(name: str) -> Activation:
    """Replay what the branch has set aside."""
    begun = begin(name)
    done = chain.ingest(name)
    assert (done.activation_id, done.kind, done.state) == (begun, "replay", "done")
    return done


def told(name: str, query: str) -> list[dict[str, Any]]:
    """Rows of a query about one branch; `{branch}` in it is the branch's number."""
    with session() as connection:
        branch = registry.get_branch(connection, name)
        return rows(connection, query.replace("{branch}", str(branch.branch_id)))


def live(name: str) -> list[dict[str, Any]]:
    """The live items of a branch, without what says when and how they came."""
    return told(
        name,
        """select external_id, name, locality, attributes, issues, source_updated_at, content_hash, embed_hash
             from core.items where branch_id = {branch} and deleted_at is null order by 1""",
    )


def marks(name: str) -> dict[tuple[int, int], int | None]:
    """Row by activation and number to the replay that took it up, None where none did: of all that did not give way."""
    found = told(
        name,
        """select r.activation_id, r."row", r.replayed_by from ingest.rejects r
             join ingest.activations a using (activation_id)
            where a.branch_id = {branch} and a.kind = 'ingest' and not r.errors @> '[{"code": "duplicate_key"}]'""",
    )
    return {(one["activation_id"], one["row"]): one["replayed_by"] for one in found}
