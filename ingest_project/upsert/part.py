"""The parts that the upsert reads, as a protocol: what it needs of them, however they are stored."""

from typing import Protocol

import pyarrow as pa


class ValidPart(Protocol):
    """The valid rows of one part."""

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
