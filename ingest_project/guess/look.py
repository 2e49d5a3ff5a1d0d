"""A look at a source that no branch names yet: its columns, how it is written, and what stands in the first rows."""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ingest_project.branches.relation import is_relation
from ingest_project.branches.spec import parse_spec
from ingest_project.errors import Refused, SourceUnreadable
from ingest_project.extract.csv import CsvFiles
from ingest_project.extract.kinds import open_source
from ingest_project.extract.nested import array_paths
from ingest_project.extract.postgres import Relation
from ingest_project.extract.preflight import likely_delimiter
from ingest_project.extract.source import MALFORMED, MORE, Pin, Source
from ingest_project.extract.text import TextFiles
from ingest_project.extract.values import as_python
from ingest_project.guess.preamble import has_bare_quotes, header_line
from ingest_project.guess.western import WESTERN, refuse_other_alphabets

_ROWS = 50
_MOST_INSIDE = 200
_AS_BYTES = "latin-1"  # each byte is a letter
_BEHIND = 1 << 20


@dataclass(frozen=True)
class Look:
    """Columns in the order of the source, the different values of each in the first rows, as text; how it is written.

    `key` is the primary key of a relation, where it has one of one column. `unique` are columns whose first values are
    all there and all different, `filled` such that are all there; `inside` names of values in arrays, which have
    samples as well.
    """

    columns: tuple[str, ...]
    samples: dict[str, list[str]]
    written: dict[str, Any]
    key: str | None = None
    unique: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()


def look(location: str, given: Mapping[str, Any] | None = None) -> Look:
    """Read the first rows of what is at a location. Raises the Refused errors, SpecInvalid.

    `given` are settings that are known. Others are tried: UTF-16 where its mark is there, windows-1252 where the bytes
    are no UTF-8, another delimiter where that makes more columns, lines to skip, quotes that are letters, one document
    of JSON for lines.
    """
    said = dict(given or {})
    try:
        return _look(location, said)
    except SourceUnreadable as error:
        for other in _other_ways(location, error, said):
            try:
                return _look(location, {**said, **other})
            except Refused:
                continue
        raise


def _other_ways(location: str, error: SourceUnreadable, said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "encoding" not in said and "UTF-16" in error.what:
        yield {"encoding": "utf-16"}
    elif "encoding" not in said and "byte" in error.where:
        refuse_other_alphabets(_around(location, error, said), error)
        yield {"encoding": WESTERN}
    if "format" not in said and "as jsonl" in error.what:
        yield {"format": "json"}


def _around(location: str, error: SourceUnreadable, said: Mapping[str, Any]) -> bytes:
    """The bytes of the file up to where it is no UTF-8, and some behind it."""
    source = _opened(location, {**said, "encoding": _AS_BYTES})
    most = int(str(error.where["byte"])) + _BEHIND
    with closing(source):
        assert isinstance(source, TextFiles)  # no other has bytes of a place
        place = next(one for one in source.inputs if source.where(one).items() <= error.where.items())
        with source.open_utf8(place) as file:
            text = file.read(most)
    whole = text if len(text) < most else text[: text.rfind(b"\n") + 1]
    return whole.decode().encode(_AS_BYTES)


def _look(location: str, written: dict[str, Any]) -> Look:
    spread = {} if is_relation(location) else {"nested": "flatten"}
    source = _opened(location, {**spread, **written})
    with closing(source):
        if isinstance(source, Relation):
            table, key = source.sample(_ROWS)
            return _seen(tuple(table.column_names), table, written, key, spreads=False)
        if isinstance(source, CsvFiles):
            return _look_at_lines(source, location, written)
        pin = source.pin()
        spreads = written.get("nested") != "keep"
        found = _seen(_columns(pin), _first_page(source, pin), written, None, spreads=spreads)
    if "nested" not in written and (found.inside or found.columns != _unspread(location, written)):
        return replace(found, written={**written, "nested": "flatten"})
    return found


def _opened(location: str, settings: Mapping[str, Any]) -> Source:
    described = {"name": location[:200], "source": "-", "location": location, "key": "-", "mapping": {"name": "-"}}
    spec = parse_spec({**described, **settings}, origin="the location")
    return open_source(spec)


def _unspread(location: str, written: Mapping[str, Any]) -> tuple[str, ...]:
    with closing(_opened(location, written)) as source:
        return _columns(source.pin())


def _columns(pin: Pin) -> tuple[str, ...]:
    return tuple(name for name in pin.columns if name != MORE)


def _first_page(source: Source, pin: Pin) -> pa.Table:
    return next(iter(source.pages(pin, _ROWS, None))).table


def _is_unquoted(source: CsvFiles, pin: Pin) -> bool:
    """Whether quotes seem to be letters, and first rows are malformed where they are not taken for such."""
    lines = source.first_lines()[source.spec.skip_lines :]
    if not has_bare_quotes(lines, source.spec.delimiter):
        return False
    malformed = _first_page(source, pin)[MALFORMED]
    return malformed.null_count < len(malformed)


def _look_at_lines(source: CsvFiles, location: str, written: dict[str, Any]) -> Look:
    if "skip_lines" not in written and (found := header_line(source.first_lines())):
        skip, mark = found
        return _look(location, {"skip_lines": skip, **({} if mark == "," else {"delimiter": mark}), **written})
    pin = source.pin()
    if "delimiter" not in written and (mark := likely_delimiter(pin.columns)):
        return _look(location, {**written, "delimiter": mark})
    if "quoted" not in written and _is_unquoted(source, pin):
        return _look(location, {**written, "quoted": False})
    return _seen(_columns(pin), _first_page(source, pin), written, None, spreads=False)


def _seen(columns: tuple[str, ...], rows: pa.Table, written: dict[str, Any], key: str | None, *, spreads: bool) -> Look:
    # `spreads`: a branch may map what stands inside arrays.
    values = {name: as_python(rows[name]) for name in columns}
    inner = _inside(values) if spreads else {}
    samples = {name: _different(found) for name, found in {**values, **inner}.items()}
    good = rows.filter(rows[MALFORMED].is_null()) if MALFORMED in rows.column_names else rows
    unique = tuple(name for name in columns if _all_differ(as_python(good[name])))
    filled = tuple(name for name in columns if _all_there(as_python(good[name])))
    return Look(columns, samples, written, key, unique, filled, tuple(inner))


def _different(values: Sequence[object]) -> list[str]:
    texts = [_text(value) for value in values if value is not None and str(value).strip()]
    return list(dict.fromkeys(texts))


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _all_there(values: Sequence[object]) -> bool:
    return bool(values) and all(value is not None and str(value).strip() for value in values)


def _all_differ(values: Sequence[object]) -> bool:
    return _all_there(values) and len({str(value).strip() for value in values}) == len(values)


def _inside(values: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, several in values.items():
        for value in several:
            for path, one in array_paths(name, _array(value)):
                if path in found or len(found) < _MOST_INSIDE:
                    found.setdefault(path, []).append(one)
    return found


def _array(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("["):
        return value if isinstance(value, list) else None
    try:
        return json.loads(value)
    except ValueError:
        return None
