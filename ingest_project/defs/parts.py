"""The values passed from asset to asset. They are lazy: an asset says what is to be done, its IO manager does it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from ingest_project.branches.registry import Branch
from ingest_project.branches.spec import BranchSpec
from ingest_project.branches.work import Work
from ingest_project.embeddings.backlog import DrainResult
from ingest_project.errors import VectorsMissing
from ingest_project.normalize.part import NormalizedPart, normalize_part


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The table as a DataFrame with Arrow-backed columns; nothing is copied.

    Pandas' own metadata in a Parquet file is ignored: it would turn columns into an index.
    """
    return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)


def as_table(frame: pd.DataFrame) -> pa.Table:
    """The DataFrame as an Arrow table; nothing is copied."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def normalize_frame(page: pd.DataFrame, spec: BranchSpec) -> NormalizedPart:
    """Normalize a page as its branch declares; in this module, so that worker processes import it without Dagster."""
    return normalize_part(as_table(page), spec)


def apply_to_table(rule: Callable[[pd.DataFrame], NormalizedPart], page: pa.Table) -> NormalizedPart:
    """Apply a rule for DataFrames to an Arrow table."""
    return rule(as_frame(page))


@dataclass(frozen=True)
class Pages:
    """A branch that is to be read, in pages of `batch_size` rows."""

    branch: Branch
    batch_size: int


class Parts:
    """The stored parts of one activation; iterating loads one after the other as a DataFrame."""

    def __init__(self, work: Work, loaders: list[Callable[[], pa.Table]], *, repair: bool = False) -> None:
        self.work = work
        self.repair = repair
        self._loaders = loaders

    @property
    def spec(self) -> BranchSpec:
        """The branch file as it was when the source was pinned."""
        return self.work.activation.pinned_spec()

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return (as_frame(load()) for load in self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)

    def map(self, rule: Callable[[pd.DataFrame], NormalizedPart]) -> "MappedParts":
        """These parts, and the rule that the IO manager is to apply to those that are not done yet."""
        return MappedParts(self, rule)


@dataclass(frozen=True)
class MappedParts:
    """Parts and the rule that is to be applied to each."""

    parts: Parts
    rule: Callable[[pd.DataFrame], NormalizedPart]


@dataclass(frozen=True)
class Upsert:
    """Items that are to be upserted by their key; the rank decides between versions."""

    items: Parts


@dataclass(frozen=True)
class Changes:
    """The changes of a committed activation; core.item_versions lists them."""

    work: Work


@dataclass(frozen=True)
class Requests:
    """Changes whose embedding requests are to be derived."""

    changes: Changes


@dataclass(frozen=True)
class Ledger:
    """The embedding requests of a branch; `vectors_missing` says why their vectors cannot be stored here."""

    branch: Branch
    vectors_missing: VectorsMissing | None = None


@dataclass
class Embedded:
    """Requests that are to be embedded; the IO manager sets `drained` once their vectors are stored."""

    ledger: Ledger
    drained: DrainResult | None = None
