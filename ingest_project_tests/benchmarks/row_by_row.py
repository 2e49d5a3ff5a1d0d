"""The peer of the normalize benchmark: the same rules and the same model, asked once for each row."""

import hashlib
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from ingest_project.branches.spec import BranchSpec
from ingest_project.item import KEY, Item, content_fields, embeddable_fields
from ingest_project.normalize import address, contact, geo, text, times
from ingest_project.normalize.columns import Verdict, to_json
from ingest_project.normalize.hashing import LAYOUT
from ingest_project.normalize.part import SINGLE_LINE_FIELDS

Row = dict[str, Any]


def normalize_rows(page: pa.Table, spec: BranchSpec) -> tuple[list[Row], list[Row]]:
    """(items, rejects) of a page of text, each as a dict; of the fields that listings have."""
    items: list[Row] = []
    rejects: list[Row] = []
    for row in page.to_pylist():
        try:
            items.append(_item(row, spec))
        except (ValidationError, ValueError) as error:
            rejects.append({"row": row["__row"], "errors": str(error)})
    return items, rejects


def _item(row: Row, spec: BranchSpec) -> Row:
    given = {field: row[mapped.column] or None for field, mapped in spec.mapping.items() if mapped.column}
    verdicts: dict[tuple[str, ...], Verdict] = {(KEY,): text.text_verdict(row[spec.key] or None, KEY, mend=False)}
    for field in SINGLE_LINE_FIELDS:
        verdicts[field,] = text.text_verdict(given.get(field), field)
    verdicts["description",] = text.text_verdict(given.get("description"), "description", multiline=True)
    country = verdicts["country_code",] = address.country(given.get("country_code"))
    code = country.values[0]
    verdicts["region_code",] = address.region(code, given.get("region_code"))
    verdicts["postal_code",] = address.postal_code(code, given.get("postal_code"))
    verdicts["latitude", "longitude"] = geo.place(code, given.get("latitude"), given.get("longitude"))
    verdicts["phone", "phone_ext"] = contact.phone(code, given.get("phone"), given.get("phone_ext"))
    verdicts["website_url",] = contact.website(given.get("website_url"))
    time = times.read_time(row[spec.updated_at or ""] or None, spec.zone)
    item = Item(**{field: value for fields, verdict in verdicts.items() for field, value in _named(fields, verdict)})
    return _stored(item, row, spec, time, (one for verdict in (*verdicts.values(), time) for one in verdict.notes))


def _named(fields: tuple[str, ...], verdict: Verdict) -> Iterable[tuple[str, Any]]:
    return zip(fields, verdict.values, strict=True)


def _stored(item: Item, row: Row, spec: BranchSpec, time: Verdict, notes: Iterable[str]) -> Row:
    used = {*spec.declared_columns(), "__row", "__malformed"}
    values: Row = item.model_dump()
    values["attributes"] = to_json({name: value for name, value in row.items() if name not in used and value})
    values["issues"] = f"[{','.join(notes)}]"
    embedded = embeddable_fields()
    others = (field for field in content_fields() if field not in embedded)
    values["content_hash"] = _hash(values, (*embedded, *others, "attributes"))
    values["embed_hash"] = _hash(values, embedded)
    values["source_updated_at"] = time.values[0]
    values["row"] = row["__row"]
    return values


def _hash(values: Row, fields: Iterable[str]) -> str:
    pieces = [_piece(values[field]) for field in fields]
    return hashlib.sha256((LAYOUT + "".join(pieces)).encode()).hexdigest()[:32]


def _piece(value: Any) -> str:
    if value is None:
        return "~"
    written = repr(value) if isinstance(value, float) else str(value)
    return f"{len(written.encode())}:{written}"
