"""The protocol of the parts that the upsert takes."""

from typing import Protocol

import pyarrow as pa


class ValidPart(Protocol):
    """A part to be upserted."""

    @property
    def number(self) -> int: ...

    @property
    def valid(self) -> int:
        """How many rows it has."""
        ...

    def load(self) -> pa.Table:
        """All columns of `item_schema()`."""
        ...

    def keys(self) -> pa.Table:
        """external_id, content_hash and source_updated_at, in the row order of `load`."""
        ...
