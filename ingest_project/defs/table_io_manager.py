"""An IO manager for any table: pandas or Arrow, one frame or a stream of them, upserted by a declared key.

The example that shows it at work is `.docs/any-table.md`; the tests run it.
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

_DECLARED = ("table", "key", "newer_by", "history", "partition_column")


class PostgresTables(dg.ConfigurableIOManager):
    """Upserts frames into tables, and reads them back; the asset's metadata says which table and what its key is.

    `table`: "name" or "schema.name" [the asset's name]. `key`: a column or a list of them, required. `newer_by`: a
    column whose lesser value never replaces a greater one. `history`: a table for the rows as they were before.
    `partition_column`: of a partitioned asset, the column that holds its partition key: written by the asset, and
    what is read back is the partition alone.
    """

    url: str = Field(description="postgresql://…, or a libpq connection string; give a dg.EnvVar.")
    db_schema: str = Field(default="public", description="Schema of tables that are declared without one.")
    create: bool = Field(default=True, description="Make a table that is missing, from the frame's types.")

    def handle_output(self, context: dg.OutputContext, obj: Frame | Iterable[Frame]) -> None:
        """Write what the asset returned; counts become metadata of its materialization."""
        with explained(context):
            declared = _declared(context.definition_metadata)
            table = self._table(declared, context.asset_key)
            checked = _of_partition(obj, table, declared.get("partition_column"), _partition(context))
            with session(self.url) as connection:
                counts = upsert(connection, table, checked, hooks=self._hooks(declared), create=self.create)
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
        """The table, or the partition of it, as the annotation of the input asks: a pyarrow.Table or a DataFrame."""
        upstream = context.upstream_output
        assert upstream is not None, "an asset"
        with explained(context):
            declared = _declared(upstream.definition_metadata)
            table = self._table(declared, context.asset_key)
            column = declared.get("partition_column")
            partition = {column: _partition(context)} if column and context.has_asset_partitions else {}
            with session(self.url) as connection:
                found = read(connection, table, partition)
        wants_arrow = context.dagster_type.typing_type is pa.Table
        return found if wants_arrow else found.to_pandas(types_mapper=pd.ArrowDtype)

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

    def _named(self, name: str, **more: Any) -> Table:
        schema, dot, last = name.rpartition(".")
        return Table(last, schema=schema if dot else self.db_schema, **more)

    def _hooks(self, declared: Mapping[str, Any]) -> Hooks:
        history = declared.get("history")
        return Hooks(before_writing=[keep_old_images(self._named(history, key=()))] if history else [])


def _declared(given: Mapping[str, Any] | None) -> dict[str, Any]:
    known = {name: (given or {}).get(name) for name in _DECLARED}
    plain = {name: getattr(value, "value", value) for name, value in known.items()}
    return {name: value for name, value in plain.items() if value is not None}


def _partition(context: dg.OutputContext | dg.InputContext) -> str | None:
    return context.asset_partition_key if context.has_asset_partitions else None


def _of_partition(
    obj: Frame | Iterable[Frame], table: Table, column: str | None, partition: str | None
) -> Frame | Iterable[Frame]:
    """The same, refused where a row belongs to another partition: it would be written behind that one's back."""
    if column is None or partition is None:
        return obj
    frames = [obj] if isinstance(obj, Frame) else obj
    return (_checked(as_arrow(frame, table), table, column, partition) for frame in frames)


def _checked(frame: pa.Table, table: Table, column: str, partition: str) -> pa.Table:
    if column not in frame.column_names:
        raise TableUnfit(f"the frame lacks its partition column {column}", where={"table": table.shown})
    strange = [value for value in frame[column].unique().to_pylist() if str(value) != partition]
    if strange:
        raise TableUnfit(
            f"rows of partition {strange[0]} in partition {partition}",
            where={"table": table.shown, "column": column},
            todo="Let the asset return only the rows of the partition that it is run for.",
        )
    return frame
