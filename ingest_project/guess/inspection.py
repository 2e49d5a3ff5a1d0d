"""Inspects a source that no branch describes yet: its columns, how it is written, and the values of its first rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ingest_project.branches.relation import is_relation
from ingest_project.branches.spec import parse_spec
from ingest_project.errors import Refused, SourceUnreadable
from ingest_project.extract import nested
from ingest_project.extract.csv import CsvFiles
from ingest_project.extract.kinds import open_source
from ingest_project.extract.postgres import Relation
from ingest_project.extract.preflight import likely_delimiter
from ingest_project.extract.source import MALFORMED, MORE, Pin, Source
from ingest_project.extract.text import TextFiles
from ingest_project.extract.values import as_python
from ingest_project.guess.preamble import has_bare_quotes, header_line
from ingest_project.guess.western import WESTERN, refuse_other_alphabets

_ROWS = 50
_MAX_ARRAY_PATHS = 200
_ONE_BYTE_ENCODING = "latin-1"  # each byte is a character
_BYTES_BEHIND = 1 << 20


@dataclass(frozen=True)
class Inspection:
    """Columns in the order of the source, the distinct values of each in the first rows, as text; how it is written.

    `settings` are those of a branch that reads it. `key` is the primary key of a relation, where it has one of one
    column. `unique` are columns whose first values are all there and all different, `filled` those whose are all there;
    `array_paths` name values in arrays, which have samples as well.
    """

    columns: tuple[str, ...]
    samples: dict[str, list[str]]
    settings: dict[str, Any]
    key: str | None = None
    unique: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    array_paths: tuple[str, ...] = ()


def inspect_source(location: str, settings: Mapping[str, Any] | None = None) -> Inspection:
    """Read the first rows of what is at a location. Raises the Refused errors, SpecInvalid.

    `settings` are those that a person gave. Others are tried: UTF-16 where its mark is there, windows-1252 where the
    bytes are no UTF-8, another delimiter where that makes more columns, lines to skip, quotes that are letters, one
    document of JSON for lines.
    """
    given = dict(settings or {})
    try:
        return _inspect(location, given)
    except SourceUnreadable as error:
        for alternative in _alternatives(location, error, given):
            try:
                return _inspect(location, {**given, **alternative})
            except Refused:
                continue
        raise


def _alternatives(location: str, error: SourceUnreadable, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "encoding" not in given and "UTF-16" in error.what:
        yield {"encoding": "utf-16"}
    elif "encoding" not in given and "byte" in error.where:
        refuse_other_alphabets(_bytes_around(location, error, given), error)
        yield {"encoding": WESTERN}
    if "format" not in given and "as jsonl" in error.what:
        yield {"format": "json"}


def _bytes_around(location: str, error: SourceUnreadable, given: Mapping[str, Any]) -> bytes:
    """The bytes of the file up to where it is no UTF-8, and some behind it."""
    count = int(str(error.where["byte"])) + _BYTES_BEHIND
    with closing(_open(location, {**given, "encoding": _ONE_BYTE_ENCODING})) as source:
        assert isinstance(source, TextFiles)  # only text can be no UTF-8 at a byte
        file = next(file for file in source.inputs if source.where(file).items() <= error.where.items())
        with source.open_utf8(file) as handle:
            text = handle.read(count)
    whole_lines = text if len(text) < count else text[: text.rfind(b"\n") + 1]
    return whole_lines.decode().encode(_ONE_BYTE_ENCODING)


def _inspect(location: str, settings: dict[str, Any]) -> Inspection:
    defaults = {} if is_relation(location) else {"nested": "flatten"}
    with closing(_open(location, {**defaults, **settings})) as source:
        if isinstance(source, Relation):
            rows, key = source.sample(_ROWS)
            return _inspect_rows(tuple(rows.column_names), rows, settings, key=key)
        if isinstance(source, CsvFiles):
            return _inspect_csv(source, location, settings)
        pin = source.pin()
        is_flattened = settings.get("nested") != "keep"
        inspection = _inspect_rows(_columns(pin), _first_page(source, pin), settings, with_arrays=is_flattened)
    if "nested" not in settings and (inspection.array_paths or inspection.columns != _kept_columns(location, settings)):
        return replace(inspection, settings={**settings, "nested": "flatten"})
    return inspection


def _inspect_csv(source: CsvFiles, location: str, settings: dict[str, Any]) -> Inspection:
    if "skip_lines" not in settings and (header := header_line(source.first_lines())):
        skip, delimiter = header
        with_delimiter = {} if delimiter == "," else {"delimiter": delimiter}
        return _inspect(location, {"skip_lines": skip, **with_delimiter, **settings})
    pin = source.pin()
    if "delimiter" not in settings and (delimiter := likely_delimiter(pin.columns)):
        return _inspect(location, {**settings, "delimiter": delimiter})
    if "quoted" not in settings and _is_unquoted(source, pin):
        return _inspect(location, {**settings, "quoted": False})
    return _inspect_rows(_columns(pin), _first_page(source, pin), settings)


def _is_unquoted(source: CsvFiles, pin: Pin) -> bool:
    """Whether quotes seem to be letters: lines look so, and rows are malformed where quotes are taken for quotes."""
    lines = source.first_lines()[source.spec.skip_lines :]
    if not has_bare_quotes(lines, source.spec.delimiter):
        return False
    malformed = _first_page(source, pin)[MALFORMED]
    return malformed.null_count < len(malformed)


def _open(location: str, settings: Mapping[str, Any]) -> Source:
    required = {"name": location[:200], "source": "-", "location": location, "key": "-", "mapping": {"name": "-"}}
    return open_source(parse_spec({**required, **settings}, origin="the location"))


def _columns(pin: Pin) -> tuple[str, ...]:
    return tuple(name for name in pin.columns if name != MORE)


def _kept_columns(location: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns where nested values are kept as they are."""
    with closing(_open(location, settings)) as source:
        return _columns(source.pin())


def _first_page(source: Source, pin: Pin) -> pa.Table:
    return next(iter(source.pages(pin, _ROWS, None))).table


def _inspect_rows(
    columns: tuple[str, ...],
    rows: pa.Table,
    settings: dict[str, Any],
    *,
    key: str | None = None,
    with_arrays: bool = False,
) -> Inspection:
    values = {name: as_python(rows[name]) for name in columns}
    in_arrays = _values_in_arrays(values) if with_arrays else {}
    samples = {name: _distinct_texts(column) for name, column in {**values, **in_arrays}.items()}
    good = rows.filter(rows[MALFORMED].is_null()) if MALFORMED in rows.column_names else rows
    good_values = {name: as_python(good[name]) for name in columns}
    filled = tuple(name for name in columns if _are_all_filled(good_values[name]))
    unique = tuple(name for name in filled if _are_all_different(good_values[name]))
    return Inspection(columns, samples, settings, key, unique, filled, tuple(in_arrays))


def _distinct_texts(values: Sequence[object]) -> list[str]:
    texts = [_as_text(value) for value in values if value is not None and str(value).strip()]
    return list(dict.fromkeys(texts))


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _are_all_filled(values: Sequence[object]) -> bool:
    return bool(values) and all(value is not None and str(value).strip() for value in values)


def _are_all_different(values: Sequence[object]) -> bool:
    return len({str(value).strip() for value in values}) == len(values)


def _values_in_arrays(values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    by_path: dict[str, list[Any]] = {}
    for name, column in values.items():
        for value in column:
            for path, element in nested.array_paths(name, _as_array(value)):
                if path in by_path or len(by_path) < _MAX_ARRAY_PATHS:
                    by_path.setdefault(path, []).append(element)
    return by_path


def _as_array(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("["):
        return value if isinstance(value, list) else None
    try:
        return json.loads(value)
    except ValueError:
        return None
