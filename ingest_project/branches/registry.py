"""The registered branches, and how a branch file is applied."""

from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import BranchUnknown, SpecInvalid, UsageError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "registry.sql")
_PRIORITY_TAKEN = "priority: another branch of this source has it; it decides between them, so it must be unique"

Change = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True)
class Branch:
    """A registered branch, as its file was last applied."""

    branch_id: int
    name: str
    source_id: int
    spec: BranchSpec
    spec_digest: str
    priority: int
    state: str


def _branch(*, spec: dict[str, Any], **columns: Any) -> Branch:
    return Branch(spec=BranchSpec.model_validate(spec), **columns)


def apply_branch(connection: Connection, spec: BranchSpec) -> Change:
    """Register or change a branch in one transaction; applying the same file again changes nothing.

    Raises SpecInvalid if the branch conflicts with another one of its source.
    """
    values = {
        "name": spec.name,
        "source": spec.source,
        "spec": Jsonb(spec.canonical()),
        "digest": spec.digest(),
        "priority": spec.priority,
    }
    with connection.transaction():
        connection.execute(_SQL["make_source"], {"source": spec.source})
        connection.execute(_SQL["lock_source"], {"source": spec.source})
        _refuse_conflicts(connection, spec)
        try:
            row = connection.execute(_SQL["apply_branch"], values).fetchone()
        except psycopg.errors.UniqueViolation:
            raise SpecInvalid(_PRIORITY_TAKEN, where={"branch": spec.name, "priority": spec.priority}) from None
    if row is None:
        return "unchanged"
    return "created" if row[0] else "changed"


def _refuse_conflicts(connection: Connection, spec: BranchSpec) -> None:
    registered = find_branch(connection, spec.name)
    if registered and registered.spec.source != spec.source:
        raise SpecInvalid(
            f"source: branch {spec.name!r} belongs to source {registered.spec.source!r}, and its items stay there; "
            "use another name for another source",
            where={"branch": spec.name},
        )
    for name, priority, updated_at, missing in connection.execute(
        _SQL["siblings"], {"source": spec.source, "name": spec.name}
    ).fetchall():
        if priority == spec.priority:
            raise SpecInvalid(_PRIORITY_TAKEN, where={"branch": spec.name, "taken by": name, "priority": priority})
        if (updated_at is None) != (spec.updated_at is None):
            raise SpecInvalid(
                f"updated_at: branches of one source either all declare it or none does; {name!r} "
                f"{'does not' if updated_at is None else 'does'}",
                where={"branch": spec.name, "source": spec.source},
            )
        if "tombstone" in (missing, spec.missing):
            raise SpecInvalid(
                f"missing: tombstone is for the sole branch of a source, and {spec.source!r} has {name!r} as well: "
                "what one branch lacks another may carry",
                where={"branch": spec.name, "source": spec.source},
            )


def find_branch(connection: Connection, name: str) -> Branch | None:
    """The branch of this name, if it is registered."""
    with connection.cursor(row_factory=kwargs_row(_branch)) as cursor:
        return cursor.execute(_SQL["find_branch"], {"name": name}).fetchone()


def get_branch(connection: Connection, name: str) -> Branch:
    """The branch of this name. Raises BranchUnknown."""
    branch = find_branch(connection, name)
    if branch is None:
        raise BranchUnknown(f"no branch {name!r} is registered", where={"branch": name})
    return branch


def name_of(connection: Connection, branch_id: int) -> str:
    """The name of a registered branch."""
    return fetch_value(connection, _SQL["branch_name"], {"branch_id": branch_id})


def list_branches(connection: Connection) -> list[Branch]:
    """All branches, by name."""
    with connection.cursor(row_factory=kwargs_row(_branch)) as cursor:
        return cursor.execute(_SQL["list_branches"]).fetchall()


def activate(connection: Connection, name: str) -> int:
    """Request an activation of what the branch holds now; returns its id, or that of the open one.

    Raises BranchUnknown, and UsageError if the branch is retired.
    """
    get_branch(connection, name)
    try:
        return fetch_value(connection, _SQL["activate"], {"name": name})
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise UsageError(error.diag.message_primary, where={"branch": name}, todo=error.diag.message_hint) from None
