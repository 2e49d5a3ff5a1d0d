"""A look at a source that no branch names yet: its columns, and what stands in the first rows."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from ingest_project.branches.spec import parse_spec
from ingest_project.errors import SourceUnreadable
from ingest_project.extract.kinds import open_source
from ingest_project.extract.postgres import Relation
from ingest_project.extract.preflight import likely_delimiter
from ingest_project.extract.source import MORE

_ROWS = 50
_SAMPLES = 3


@dataclass(frozen=True)
class Look:
    """Columns in the order of the source, and up to three different values of each, as text; how it is written.

    `key` is the primary key of a relation, where it has one of one column.
    """

    columns: tuple[str, ...]
    samples: dict[str, list[str]]
    written: dict[str, str]
    key: str | None = None


def look(location: str) -> Look:
    """Read the first rows of what is at a location. Raises the Refused errors.

    What is not UTF-8 is tried as windows-1252, what has one column only as separated by something else.
    """
    try:
        return _look(location, {})
    except SourceUnreadable as error:
        if "byte" not in error.where:
            raise
        return _look(location, {"encoding": "windows-1252"})


def _look(location: str, written: dict[str, str]) -> Look:
    described = {"name": location[:200], "source": "-", "location": location, "key": "-", "mapping": {"name": "-"}}
    source = open_source(parse_spec({**described, **written}, origin="the location"))
    with closing(source):
        if isinstance(source, Relation):
            table, key = source.sample(_ROWS)
            return _seen(tuple(table.column_names), table, {}, key)
        pin = source.pin()
        if len(pin.columns) == 1 and "delimiter" not in written and (mark := likely_delimiter(pin.columns[0])):
            return _look(location, {**written, "delimiter": mark})
        page = next(iter(source.pages(pin, _ROWS, None))).table
    return _seen(tuple(name for name in pin.columns if name != MORE), page, written, None)


def _seen(columns: tuple[str, ...], rows: pa.Table, written: dict[str, str], key: str | None) -> Look:
    return Look(columns, {name: _different(rows[name].to_pylist()) for name in columns}, written, key)


def _different(values: list[object]) -> list[str]:
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    return list(dict.fromkeys(texts))[:_SAMPLES]
