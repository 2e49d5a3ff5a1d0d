"""The registered branches, and how a branch file is applied."""

from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import BranchUnknown, SpecInvalid, UsageError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "registry.sql")
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


@dataclass(frozen=True)
class _Row:
    branch_id: int
    name: str
    source_id: int
    spec: dict[str, Any]
    spec_digest: str
    priority: int
    state: str

    def branch(self) -> Branch:
        return Branch(
            branch_id=self.branch_id,
            name=self.name,
            source_id=self.source_id,
            spec=BranchSpec.model_validate(self.spec),
            spec_digest=self.spec_digest,
            priority=self.priority,
            state=self.state,
        )


def apply_branch(connection: Connection, spec: BranchSpec) -> Change:
    """Register or change a branch in one transaction; applying the same file again changes nothing.

    Raises SpecInvalid where the branch does not fit to the others of its source.
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
        _refuse_misfit(connection, spec)
        try:
            row = connection.execute(_SQL["apply_branch"], values).fetchone()
        except psycopg.errors.UniqueViolation:
            raise SpecInvalid(_PRIORITY_TAKEN, where={"branch": spec.name, "priority": spec.priority}) from None
    if row is None:
        return "unchanged"
    return "created" if row[0] else "changed"


_PRIORITY_TAKEN = "priority: another branch of this source has it; it decides between them, so it must be unique"


def _refuse_misfit(connection: Connection, spec: BranchSpec) -> None:
    known = find_branch(connection, spec.name)
    if known and known.spec.source != spec.source:
        raise SpecInvalid(
            f"source: branch {spec.name!r} belongs to source {known.spec.source!r}, and its items stay there; "
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
    """The branch of this name, if it is known."""
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        row = cursor.execute(_SQL["find_branch"], {"name": name}).fetchone()
    return row.branch() if row else None


def get_branch(connection: Connection, name: str) -> Branch:
    """The branch of this name. Raises BranchUnknown."""
    branch = find_branch(connection, name)
    if branch is None:
        raise BranchUnknown(f"no branch {name!r} is registered", where={"branch": name})
    return branch


def name_of(connection: Connection, branch_id: int) -> str:
    """The name of a branch that is there."""
    return fetch_value(connection, _SQL["branch_name"], {"branch_id": branch_id})


def list_branches(connection: Connection) -> list[Branch]:
    """All branches, by name."""
    with connection.cursor(row_factory=class_row(_Row)) as cursor:
        return [row.branch() for row in cursor.execute(_SQL["list_branches"]).fetchall()]


def activate(connection: Connection, name: str) -> int:
    """Make what the branch holds now eligible; the id of the open activation where there is one.

    Raises BranchUnknown, and UsageError for a branch that is retired.
    """
    get_branch(connection, name)
    try:
        return fetch_value(connection, _SQL["activate"], {"name": name})
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        said = error.diag
        raise UsageError(said.message_primary, where={"branch": name}, todo=said.message_hint) from None
