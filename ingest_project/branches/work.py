"""The context of a run, handed from stage to stage: a session, a lease, a branch and its activation."""

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
    """What every stage of one run works with; `on` gives the same with the activation in its next state."""

    connection: Connection
    lease: Lease
    branch: Branch
    activation: Activation

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """A fenced transaction: if this run has lost its lease, it raises Fenced and writes nothing."""
        with fenced(self.connection, self.lease):
            yield self.connection

    def on(self, activation: Activation) -> "Work":
        return replace(self, activation=activation)

    @property
    def spec(self) -> BranchSpec:
        """The spec as it was when the source was pinned: a file that is applied later does not affect this run."""
        return self.activation.pinned_spec()

    @property
    def where(self) -> dict[str, object]:
        """Branch and activation, as the `where` of an error."""
        return {"branch": self.branch.name, "activation": self.activation.activation_id}
