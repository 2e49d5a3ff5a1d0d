"""Parquet: types as they are. Files of one branch share one type per column, if none loses by it."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.files import Chunk, Files, Head
from ingest_project.extract.nested import is_inside, spread_table
from ingest_project.extract.place import Place
from ingest_project.extract.source import MALFORMED, Pin

_ROWS = 16_384


@dataclass(frozen=True)
class ParquetFiles(Files):
    """Parquet files with the same columns. No more than a row group is held; resuming skips those before."""

    format = "parquet"

    def head(self, place: Place) -> Head:
        """Look at the footer. Raises SourceUnreadable."""
        with self._open(place) as file:
            return Head(tuple(self._spread(file.schema_arrow.empty_table()).column_names), file.metadata.num_rows > 0)

    def estimate(self, sizes: list[int]) -> int | None:
        """Add up what the footers say: exact."""
        return sum(self._rows(place) for place in self.places)

    def pin(self) -> Pin:
        """Look at every footer. Raises also where types cannot be brought together."""
        pin = super().pin()
        self._schema(pin)
        return pin

    def chunks(self, file: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's batches, group by group."""
        schema = self._schema(pin)
        place = self.place(pin.files[file])
        with self._open(place) as opened:
            for group in range(opened.num_row_groups):
                facts = opened.metadata.row_group(group)
                if skip >= facts.num_rows:
                    skip -= facts.num_rows
                    continue
                yield from self._group(opened, group, schema, skip, place)
                skip = 0

    def _schema(self, pin: Pin) -> pa.Schema:
        schemas: list[pa.Schema] = []
        for file in pin.files:
            place = self.place(file)
            with self._open(place) as opened:
                schemas.append(_plain(self._spread(opened.schema_arrow.empty_table()).schema, pin.columns))
            try:
                schemas = [_unified(*schemas)]
            except pa.ArrowException:
                raise self._unlike(pin, place, *schemas) from None
        return schemas[0]

    def _unlike(self, pin: Pin, place: Place, before: pa.Schema, now: pa.Schema) -> SourceUnreadable:
        lines = [
            f"{name!r}: {before.field(name).type} in the files before, {now.field(name).type} in {place.name}"
            for name in pin.columns
            if not _alike(before.field(name), now.field(name))
        ]
        return SourceUnreadable(
            "the files of the branch give a column different types:" + "".join(f"\n    {line}" for line in lines),
            where=self.where(place),
        )

    def _spread(self, table: pa.Table) -> pa.Table:
        if self.spec.nested == "keep":
            return table
        return spread_table(table, [name for name in self.spec.declared_columns() if is_inside(name)])

    def _group(self, file: pq.ParquetFile, group: int, schema: pa.Schema, skip: int, place: Place) -> Generator[Chunk]:
        facts = file.metadata.row_group(group)
        taken = sum(facts.column(at).total_compressed_size for at in range(facts.num_columns))
        wanted = schema.names if self.spec.nested == "keep" else None
        for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=wanted):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            table = self._spread(pa.Table.from_batches([batch])).select(schema.names).slice(skip)
            table = self._cast(table.replace_schema_metadata(None), schema, place)
            yield Chunk(table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string())), taken)
            skip = taken = 0

    def _cast(self, table: pa.Table, schema: pa.Schema, place: Place) -> pa.Table:
        try:
            return table.cast(schema)
        except pa.ArrowInvalid as error:
            raise self._unfit(table.schema, schema, place, error) from None

    def _unfit(self, schema: pa.Schema, shared: pa.Schema, place: Place, error: pa.ArrowInvalid) -> SourceUnreadable:
        lines = [
            f"{one.name!r}: {one.type} in {place.name}, {shared.field(one.name).type} in all of them together"
            for one in schema
            if one.type != shared.field(one.name).type
        ]
        return SourceUnreadable(
            f"a value does not fit the type that its column has in the files of the branch together: {error}"
            + "".join(f"\n    {line}" for line in lines),
            where=self.where(place),
            todo="Write the column with one type in all files, or name them as branches of their own; then run again.",
        )

    def _rows(self, place: Place) -> int:
        with self._open(place) as file:
            return file.metadata.num_rows

    @contextmanager
    def _open(self, place: Place) -> Generator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(place.for_arrow(), pre_buffer=False, coerce_int96_timestamp_unit="us") as file:
                yield file
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise self.unreadable(place, error) from None


def _unified(*schemas: pa.Schema) -> pa.Schema:
    return pa.unify_schemas(schemas, promote_options="permissive")


def _alike(one: pa.Field, other: pa.Field) -> bool:
    try:
        _unified(pa.schema([one]), pa.schema([other]))
    except pa.ArrowException:
        return False
    return True


def _plain(schema: pa.Schema, columns: tuple[str, ...]) -> pa.Schema:
    # Without what differs from file to file and means nothing here: metadata, not null, dictionaries.
    fields: list[pa.Field] = []
    for name in columns:
        kind = schema.field(name).type
        fields.append(pa.field(name, kind.value_type if pa.types.is_dictionary(kind) else kind))
    return pa.schema(fields)
