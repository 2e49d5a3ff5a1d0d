"""Rollbacks as the command makes them, and what core.items says by natural keys."""

from typing import Any

from ingest_project.branches import activations, registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.embeddings.ledger import Derived, derive_requests
from ingest_project.postgres import leases
from ingest_project.upsert import rollback
from ingest_project.upsert.rollback import Undo
from ingest_project_tests.embeddings.asking import requests
from ingest_project_tests.upsert.making import Line, Source

SAID = ("name", "phone", "issues", "attributes", "content_hash", "embed_hash")
RANK = ("source_updated_at", "priority", "branch_id", "activation_id", "created_activation_id", "part")


def branch_of(line: Line) -> Branch:
    return registry.get_branch(line.connection, line.name)


def target_of(line: Line, activation: int) -> Activation:
    return activations.get(line.connection, branch_of(line).branch_id, activation)


def looked(line: Line, activation: int) -> Undo:
    return rollback.preview(line.connection, branch_of(line), target_of(line, activation))


def rolled_back(line: Line, activation: int) -> Derived:
    """Roll an activation back as the command does, requests and all."""
    branch = branch_of(line)
    lease = leases.acquire(line.connection, branch.branch_id, branch.name, holder="run", run_id="run")
    return derive_requests(rollback.undo_all(rollback.begin(line.connection, lease, branch, activation)))


def done(line: Line, rows: Any, size: int | None = None) -> int:
    """Ingest rows to the end, requests and all; the activation's id."""
    return derive_requests(line.apply(rows, size)[0]).work.activation.activation_id


def live(source: Source, names: tuple[str, ...] = (*SAID, *RANK)) -> dict[str, dict[str, Any]]:
    """The live items by key, as far as they do not count versions and times."""
    return {
        key: {name: row[name] for name in names} for key, row in source.items().items() if row["deleted_at"] is None
    }


def asked(source: Source) -> dict[str, Any]:
    """What text each item has a request for."""
    return {key: row["content_hash"] for key, row in requests(source).items()}


def ops(source: Source, key: object) -> str:
    return "".join(row["op"] for row in source.versions(key))
