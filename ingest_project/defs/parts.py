"""What is handed from asset to asset: lazy streams. Bodies say what happens to a part, IO managers draw the parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from ingest_project.branches.registry import Branch
from ingest_project.branches.spec import BranchSpec
from ingest_project.branches.work import Work
from ingest_project.embeddings.backlog import Drained
from ingest_project.errors import VectorsMissing
from ingest_project.normalize.part import NormalizedPart, normalize_part


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The table as a DataFrame with Arrow-backed columns; nothing is copied.

    What pandas wrote beside the data of a file is not followed: it would make an index of columns.
    """
    return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)


def as_table(frame: pd.DataFrame) -> pa.Table:
    """The way back; nothing is copied."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def normalize_frame(page: pd.DataFrame, spec: BranchSpec) -> NormalizedPart:
    """A page as its branch declares; a function of this module, so that worker processes find it without Dagster."""
    return normalize_part(as_table(page), spec)


def on_table(rule: Callable[[pd.DataFrame], NormalizedPart], page: pa.Table) -> NormalizedPart:
    """What a rule over frames makes of a table."""
    return rule(as_frame(page))


@dataclass(frozen=True)
class Pages:
    """A branch to be read, in pages of so many rows. Nothing is read before the IO manager asks."""

    branch: Branch
    batch_size: int


class Parts:
    """Stored parts of one activation, each drawn as a DataFrame when its turn comes."""

    def __init__(self, work: Work, loaders: list[Callable[[], pa.Table]], *, repair: bool = False) -> None:
        self.work = work
        self.repair = repair
        self._loaders = loaders

    @property
    def spec(self) -> BranchSpec:
        """As it was when the source was pinned."""
        return self.work.activation.pinned_spec()

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (as_frame(load()) for load in self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)

    def map(self, rule: Callable[[pd.DataFrame], NormalizedPart]) -> "MappedParts":
        """The same parts with a rule applied, when their turn comes, to those that are not done yet."""
        return MappedParts(self, rule)


@dataclass(frozen=True)
class MappedParts:
    """Parts and what is to happen to each."""

    parts: Parts
    rule: Callable[[pd.DataFrame], NormalizedPart]


@dataclass(frozen=True)
class Upsert:
    """Items to be upserted by their key; the rank decides between versions."""

    items: Parts


@dataclass(frozen=True)
class Changes:
    """What a committed activation changed: the list is core.item_versions."""

    work: Work


@dataclass(frozen=True)
class Requests:
    """Embedding requests wanted for changes."""

    changes: Changes


@dataclass(frozen=True)
class Ledger:
    """The requests of a branch, to be claimed; `lacking` says why their vectors cannot be stored here."""

    branch: Branch
    lacking: VectorsMissing | None = None


@dataclass
class Embedded:
    """Vectors wanted for what a ledger asks for; `drained` is known once they are stored."""

    ledger: Ledger
    drained: Drained | None = None
