"""The errors a user can meet. Each says what happened, where, and what to do next.

IngestError                        exit 1  failed; the state on disk and in Postgres resumes
├── DatabaseError                          Postgres refused a statement
│   ├── DatabaseUnreachable                  no answer, wrong host, wrong password
│   ├── DatabaseTooOld                       older than PostgreSQL 15
│   ├── DatabaseReadOnly                     a standby, or read-only by its settings
│   ├── MigrationFailed                      the schema could not be brought to this version
│   └── VectorsMissing                       no pgvector: everything but vectors works
├── Interrupted                   exit 130 Ctrl-C, SIGTERM or Terminate
├── Fenced                                 another run took the lease of the branch over
├── ProviderUnusable                       key, quota, model name or dimensions are wrong
├── Unexpected                             a bug in this project or in a library that it uses
├── PartDamaged                            a stored part is missing or does not match its manifest
├── UsageError                     exit 2  the command or file is wrong; nothing was changed
│   ├── SpecInvalid                          a branch file that cannot be applied
│   ├── BranchUnknown                        no such branch
│   ├── ActivationUnknown                    no such activation, or none that is ready
│   ├── TableUnfit                           a frame does not fit the table that it is written to
│   └── ModelUnknown                         no such embedding model
├── Locked                         exit 3  another run holds the branch
└── Refused                        exit 4  the source was examined and is not ingested
    ├── SourceMissing, SourceEmpty, SourceUnreadable, SourceStale
    ├── ColumnsMissing                       a declared column is not in the source
    ├── SourceMoved                          the source changed after it was pinned
    ├── GateBlocked                          a quality limit was exceeded
    ├── PlanMoved                            what a saved plan was made against has changed
    ├── RollbackRefused                      later activations changed the same items, or the history is pruned
    ├── RowsUnfit                            rows of a frame: no key, a duplicate key, or a value that the table refuses
    ├── ModelIncomplete                      items lack the vectors of a model that is to be activated
    └── ActivationClosed                     superseded, failed or already ingested
"""

from collections.abc import Mapping
from typing import ClassVar


def first_line(error: object, default: str = "") -> str:
    """The first line of a library's error message; where it is empty, `default` or the name of the error's type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else default or type(error).__name__


class IngestError(Exception):
    """Base of all errors; the first line of a class's docstring is its default message."""

    exit_code: ClassVar[int] = 1
    default_todo: ClassVar[str] = "Read the log above; running the same command again resumes where it stopped."

    def __init__(
        self, what: str | None = None, *, where: Mapping[str, object] | None = None, todo: str | None = None
    ) -> None:
        self.what = what or (self.__class__.__doc__ or "").strip().splitlines()[0]
        self.where = dict(where or {})
        self.todo = todo or self.default_todo
        super().__init__(self.what)

    def __str__(self) -> str:
        """Three lines: what, where, what to do."""
        where = ", ".join(f"{key} {value}" for key, value in self.where.items())
        lines = [self.what, f"  where: {where}" if where else "", f"  do:    {self.todo}"]
        return "\n".join(line for line in lines if line)


class DatabaseError(IngestError):
    """Postgres refused a statement."""


class DatabaseUnreachable(DatabaseError):
    """Postgres cannot be reached."""

    default_todo = "Check INGEST_DATABASE_URL (`ingest db url` shows it without its password)."


class DatabaseTooOld(DatabaseError):
    """This server is older than PostgreSQL 15."""

    default_todo = "Point INGEST_DATABASE_URL to PostgreSQL 15 or later, or unset it to use the embedded server."


class DatabaseReadOnly(DatabaseError):
    """Postgres takes no writes here."""

    default_todo = (
        "It is a standby (target_session_attrs=read-write in INGEST_DATABASE_URL finds the primary of several hosts), "
        "or default_transaction_read_only is on, for the server, this database or this role. Then run the same "
        "command: it resumes."
    )


class MigrationFailed(DatabaseError):
    """The schema could not be brought to this version; nothing was changed."""

    default_todo = "Run `ingest db migrate` as the owner of the database."


class VectorsMissing(DatabaseError):
    """This database has no pgvector, so that vectors cannot be stored; all else works."""

    default_todo = (
        "As the DBA, in this database: create extension vector; and run the same command again. Where the server does "
        "not have it: install its package first (Debian: postgresql-NN-pgvector)."
    )


class Interrupted(IngestError):
    """The run was interrupted: the batch at hand was undone, what was committed before it stays."""

    exit_code = 130
    default_todo = "Run the same command to go on from there."


class Fenced(IngestError):
    """This run no longer holds its branch: another run took it over, so nothing more was written."""

    default_todo = "Nothing to do here: the other run goes on. `ingest status` shows it."


class ProviderUnusable(IngestError):
    """The embedding provider cannot be used as it is set up; nothing was charged, no request was given up."""


class Unexpected(IngestError):
    """Something happened that should not: a bug in this project, or in a library that it uses."""


class PartDamaged(IngestError):
    """A stored part is missing or does not match its manifest."""

    default_todo = "Run the same command again: it reads the source anew, as a new activation."


class UsageError(IngestError):
    """The command cannot be carried out as given; nothing was changed."""

    exit_code = 2
    default_todo = "See `ingest --help`."


class SpecInvalid(UsageError):
    """The branch file cannot be applied; nothing was changed."""

    default_todo = "Mend the lines named above and run `ingest branch apply FILE` again."


class BranchUnknown(UsageError):
    """No such branch is registered."""

    default_todo = "`ingest branch list` shows those that are; `ingest branch apply FILE` registers one."


class ActivationUnknown(UsageError):
    """There is no such activation, or none that is ready for this step."""

    default_todo = "`ingest status NAME` shows the activations of a branch; `ingest run NAME` makes a new one."


class TableUnfit(UsageError):
    """The frame does not fit the table that it is written to; nothing was written."""

    default_todo = "Mend the frame, or the key and columns that the asset declares for its table."


class ModelUnknown(UsageError):
    """There is no such embedding model."""

    default_todo = "`ingest model list` shows those that are; `ingest model add` adds one."


class Locked(IngestError):
    """Another run holds this branch."""

    exit_code = 3
    default_todo = "Wait for it to end (`ingest status NAME`), then run the same command again."


class Refused(IngestError):
    """The source was examined and is not ingested; nothing was changed."""

    exit_code = 4
    default_todo = "Mend the source or its branch file, then run the same command again."


class SourceMissing(Refused):
    """There is nothing at the location of this branch."""


class SourceEmpty(Refused):
    """The source has no rows."""


class SourceUnreadable(Refused):
    """The source cannot be read."""


class SourceStale(Refused):
    """The branch says how old its source may be, and nothing says how old it is."""


class ColumnsMissing(Refused):
    """The source does not have the columns that the branch declares."""


class SourceMoved(Refused):
    """The source changed after it was pinned."""

    default_todo = "Run `ingest run NAME` again: it ingests the source as it is now, as a new activation."


class GateBlocked(Refused):
    """A quality limit of the branch was exceeded; nothing was written to core."""

    default_todo = "`ingest status NAME` says which, and how to accept it."


class RowsUnfit(Refused):
    """Rows of a frame cannot be upserted: no key, a duplicate key, or a value that the table refuses."""

    default_todo = "Make the key whole and unique in the frame, for example by drop_duplicates; nothing was written."


class ModelIncomplete(Refused):
    """Items lack the vectors of this model; searches stay with the other one."""

    default_todo = "`ingest model list` shows how far it is; fill it, or activate it as it is with --force."


class PlanMoved(Refused):
    """What this plan was made against has changed since; nothing was written."""


class RollbackRefused(Refused):
    """This activation cannot be rolled back; nothing was changed."""


class ActivationClosed(Refused):
    """This activation is closed and will not be ingested."""

    default_todo = "`ingest run NAME` ingests the branch as it is now, as a new activation."
