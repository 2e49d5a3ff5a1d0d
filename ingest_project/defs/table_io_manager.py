"""An IO manager for any table: upserts what an asset returns, pandas or Arrow, by a declared key.

`.docs/any-table.md` has an example; the tests run it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
from pydantic import Field

from ingest_project.defs import metadata
from ingest_project.defs.failures import explained
from ingest_project.errors import TableUnfit
from ingest_project.postgres.connection import redacted, session
from ingest_project.upsert.frames import Frame, Hooks, as_arrow, keep_old_images, upsert
from ingest_project.upsert.reading import read
from ingest_project.upsert.target import Table

_METADATA_KEYS = ("table", "key", "newer_by", "history", "partition_column")


class PostgresTables(dg.ConfigurableIOManager):
    """Upserts frames into tables and reads tables back; the metadata of the asset declares its table.

    `key`, required: a column or a list of columns. `table`: "name" or "schema.name"; by default the asset's name.
    `newer_by`: a column; a row never replaces one with a greater value in it. `history`: a table that gets the rows as
    they were before. `partition_column`, of a partitioned asset: the column that holds the partition key; the asset
    fills it, and only the rows of the partition are read back.
    """

    url: str = Field(description="postgresql://…, or a libpq connection string; give a dg.EnvVar.")
    db_schema: str = Field(default="public", description="Schema of tables that are declared without one.")
    create: bool = Field(default=True, description="Create a missing table with the types of the frame.")

    def handle_output(self, context: dg.OutputContext, obj: Frame | Iterable[Frame]) -> None:
        """Write what the asset returned; counts become metadata of its materialization."""
        with explained(context):
            declared = _declared(context.definition_metadata)
            table = self._table(declared, context.asset_key)
            frames = _only_partition(obj, table, declared.get("partition_column"), _partition(context))
            with session(self.url) as connection:
                counts = upsert(connection, table, frames, hooks=self._hooks(declared), create=self.create)
        context.add_output_metadata(
            {
                **asdict(counts),
                "dagster/table_name": table.shown,
                "dagster/partition_row_count" if context.has_asset_partitions else "dagster/row_count": counts.rows,
                "peak_memory_mb": metadata.peak_memory_mb(),
                "database": redacted(self.url),
            }
        )

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | pa.Table:
        """The table, or its partition: a pyarrow.Table where the input is annotated so, else a DataFrame."""
        upstream = context.upstream_output
        assert upstream is not None, "only assets use it"
        with explained(context):
            declared = _declared(upstream.definition_metadata)
            table = self._table(declared, context.asset_key)
            column = declared.get("partition_column")
            partition = {column: _partition(context)} if column and context.has_asset_partitions else {}
            with session(self.url) as connection:
                rows = read(connection, table, partition)
        wants_arrow = context.dagster_type.typing_type is pa.Table
        return rows if wants_arrow else rows.to_pandas(types_mapper=pd.ArrowDtype)

    def _table(self, declared: Mapping[str, Any], asset: dg.AssetKey) -> Table:
        key = declared.get("key")
        if not key:
            raise TableUnfit(
                f"asset {asset.to_user_string()} declares no key",
                todo='Say which columns name a row: metadata={"key": ["id"]} on the asset.',
            )
        return self._named(
            str(declared.get("table", asset.path[-1])),
            key=(key,) if isinstance(key, str) else tuple(key),
            newer_by=declared.get("newer_by"),
        )

    def _named(self, qualified_name: str, **settings: Any) -> Table:
        schema, _, name = qualified_name.rpartition(".")
        return Table(name, schema=schema or self.db_schema, **settings)

    def _hooks(self, declared: Mapping[str, Any]) -> Hooks:
        history = declared.get("history")
        return Hooks(before_writing=[keep_old_images(self._named(history, key=()))] if history else [])


def _declared(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the metadata of an asset says of its table, as plain values."""
    entries = {key: (metadata or {}).get(key) for key in _METADATA_KEYS}
    plain = {key: getattr(entry, "value", entry) for key, entry in entries.items()}
    return {key: value for key, value in plain.items() if value is not None}


def _partition(context: dg.OutputContext | dg.InputContext) -> str | None:
    return context.asset_partition_key if context.has_asset_partitions else None


def _only_partition(
    obj: Frame | Iterable[Frame], table: Table, column: str | None, partition: str | None
) -> Frame | Iterable[Frame]:
    """The frames, each checked to hold rows of this partition only: others would be changed without their own run."""
    if column is None or partition is None:
        return obj
    frames = [obj] if isinstance(obj, Frame) else obj
    return (_check_partition(as_arrow(frame, table), table, column, partition) for frame in frames)


def _check_partition(frame: pa.Table, table: Table, column: str, partition: str) -> pa.Table:
    if column not in frame.column_names:
        raise TableUnfit(f"the frame lacks its partition column {column}", where={"table": table.shown})
    others = [value for value in frame[column].unique().to_pylist() if str(value) != partition]
    if others:
        raise TableUnfit(
            f"rows of partition {others[0]} in partition {partition}",
            where={"table": table.shown, "column": column},
            todo="Let the asset return only the rows of the partition that it is run for.",
        )
    return frame
