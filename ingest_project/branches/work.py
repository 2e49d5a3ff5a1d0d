"""What a stage works with: one branch, one activation, one lease, one session."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.branches.spec import BranchSpec
from ingest_project.postgres.connection import Connection
from ingest_project.postgres.leases import Lease, fenced


@dataclass(frozen=True)
class Work:
    """Handed from stage to stage of one run; `activation` is replaced as it moves on."""

    connection: Connection
    lease: Lease
    branch: Branch
    activation: Activation

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """A fenced transaction: it writes for this branch or raises Fenced and writes nothing."""
        with fenced(self.connection, self.lease):
            yield self.connection

    def on(self, activation: Activation) -> "Work":
        return replace(self, activation=activation)

    @property
    def spec(self) -> BranchSpec:
        """The branch as it was when the source was pinned: a file applied meanwhile does not reach into a run."""
        return self.activation.pinned_spec()

    @property
    def place(self) -> dict[str, object]:
        """Where an error happened, for its message."""
        return {"branch": self.branch.name, "activation": self.activation.activation_id}
