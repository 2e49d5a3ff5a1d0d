"""Parquet: types as they are. Files of one branch share one type per column, if none loses by it."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.files import Chunk, Files, Head
from ingest_project.extract.input_file import InputFile
from ingest_project.extract.malformed import append_malformed
from ingest_project.extract.nested import flatten_table, is_array_path
from ingest_project.extract.source import Pin

_BATCH_ROWS = 16_384


@dataclass(frozen=True)
class ParquetFiles(Files):
    """Parquet files with the same columns. No more than a row group is held; resuming skips those before."""

    format = "parquet"

    def head(self, file: InputFile) -> Head:
        """Read the footer. Raises SourceUnreadable."""
        with self._open(file) as parquet:
            return Head(tuple(self._schema_of(parquet).names), parquet.metadata.num_rows > 0)

    def estimate_rows(self, sizes: list[int]) -> int | None:
        """Add up what the footers say: exact."""
        return sum(self._count_rows(file) for file in self.inputs)

    def pin(self) -> Pin:
        """Read every footer. Raises also where types cannot be brought together."""
        pin = super().pin()
        self._shared_schema(pin)
        return pin

    def chunks(self, number: int, pin: Pin, skip: int) -> Iterator[Chunk]:
        """Yield the file's batches, group by group."""
        schema = self._shared_schema(pin)
        file = self.input_file(pin.files[number])
        with self._open(file) as parquet:
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if skip >= rows:
                    skip -= rows
                    continue
                yield from self._row_group(parquet, group, schema, skip, file)
                skip = 0

    def _row_group(
        self, parquet: pq.ParquetFile, group: int, schema: pa.Schema, skip: int, file: InputFile
    ) -> Generator[Chunk]:
        metadata = parquet.metadata.row_group(group)
        bytes_read = sum(metadata.column(at).total_compressed_size for at in range(metadata.num_columns))
        columns = schema.names if self.spec.nested == "keep" else None
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=columns):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            table = self._flatten(pa.Table.from_batches([batch])).select(schema.names).slice(skip)
            table = self._cast(table.replace_schema_metadata(None), schema, file)
            yield Chunk(append_malformed(table), bytes_read)
            skip = bytes_read = 0

    def _flatten(self, table: pa.Table) -> pa.Table:
        if self.spec.nested == "keep":
            return table
        return flatten_table(table, [name for name in self.spec.declared_columns() if is_array_path(name)])

    def _schema_of(self, parquet: pq.ParquetFile) -> pa.Schema:
        return self._flatten(parquet.schema_arrow.empty_table()).schema

    def _shared_schema(self, pin: Pin) -> pa.Schema:
        first, *others = (self.input_file(pinned) for pinned in pin.files)
        shared = self._plain_schema(first, pin.columns)
        for file in others:
            schema = self._plain_schema(file, pin.columns)
            try:
                shared = _unify(shared, schema)
            except pa.ArrowException:
                raise self._different_types(pin, file, shared, schema) from None
        return shared

    def _plain_schema(self, file: InputFile, columns: tuple[str, ...]) -> pa.Schema:
        # Without what differs from file to file and means nothing here: metadata, not null, dictionaries.
        with self._open(file) as parquet:
            schema = self._schema_of(parquet)
            types = {name: schema.field(name).type for name in columns}
        plain = {name: kind.value_type if pa.types.is_dictionary(kind) else kind for name, kind in types.items()}
        return pa.schema(plain)

    def _different_types(self, pin: Pin, file: InputFile, before: pa.Schema, now: pa.Schema) -> SourceUnreadable:
        lines = [
            f"{name!r}: {before.field(name).type} in the files before, {now.field(name).type} in {file.name}"
            for name in pin.columns
            if not _can_unify(before.field(name), now.field(name))
        ]
        return SourceUnreadable(
            "the files of the branch give a column different types:" + "".join(f"\n    {line}" for line in lines),
            where=self.where(file),
        )

    def _cast(self, table: pa.Table, schema: pa.Schema, file: InputFile) -> pa.Table:
        try:
            return table.cast(schema)
        except pa.ArrowInvalid as error:
            raise self._does_not_fit(table.schema, schema, file, error) from None

    def _does_not_fit(
        self, schema: pa.Schema, shared: pa.Schema, file: InputFile, error: pa.ArrowInvalid
    ) -> SourceUnreadable:
        lines = [
            f"{field.name!r}: {field.type} in {file.name}, {shared.field(field.name).type} in all of them together"
            for field in schema
            if field.type != shared.field(field.name).type
        ]
        return SourceUnreadable(
            f"a value does not fit the type that its column has in the files of the branch together: {error}"
            + "".join(f"\n    {line}" for line in lines),
            where=self.where(file),
            todo="Write the column with one type in all files, or name them as branches of their own; then run again.",
        )

    def _count_rows(self, file: InputFile) -> int:
        with self._open(file) as parquet:
            return parquet.metadata.num_rows

    @contextmanager
    def _open(self, file: InputFile) -> Generator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(file.random_access(), pre_buffer=False, coerce_int96_timestamp_unit="us") as parquet:
                yield parquet
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise self.unreadable(file, error) from None


def _unify(*schemas: pa.Schema) -> pa.Schema:
    return pa.unify_schemas(schemas, promote_options="permissive")


def _can_unify(one: pa.Field, other: pa.Field) -> bool:
    try:
        _unify(pa.schema([one]), pa.schema([other]))
    except pa.ArrowException:
        return False
    return True
