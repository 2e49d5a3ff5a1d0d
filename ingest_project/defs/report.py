"""The report of an ingest in the UI, a page of markdown: counts, a map, changes old → new, rejects, issues."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dagster as dg
import pyarrow as pa

from ingest_project.branches.activations import Activation
from ingest_project.branches.work import Work
from ingest_project.codes import ISSUES, REASONS
from ingest_project.defs import pictures
from ingest_project.defs.metadata import codes_table, table_of
from ingest_project.extract.store import PartStore
from ingest_project.item import KEY
from ingest_project.normalize.quarantine import reject_codes
from ingest_project.normalize.sampled import sample_rows
from ingest_project.upsert.changes import sample_changed_places, sample_inserted, sample_updated

COLOURS = {
    "inserted": "#2e9e6b",
    "updated": "#e08a1e",
    "touched": "#6f8fc9",
    "unchanged": "#b4bcc8",
    "stale": "#9a6fb0",
    "rejected": "#c8443c",
    "issues": "#6f8fc9",
}
_SAMPLE_ROWS = 4_000  # for the map and the issues
_UPDATED_ITEMS = 200  # read for the samples of changes
_SAMPLES_PER_COLUMN = 3
_MOST_COLUMNS = 12
_MOST_ISSUES = 12
_COLUMNS_OF_NEW_ITEMS = {KEY, "name", "category", "street", "locality", "country_code", "price", "currency"}
_NULL = "(none)"  # a blank cell would be overlooked
_OPERATIONS = {"i": "inserted", "u": "updated", "r": "updated"}


def report(work: Work, store: PartStore) -> dg.MetadataValue[Any]:
    """The report of an activation that is in core.items."""
    activation = work.activation
    sample = sample_rows(work, store, ("latitude", "longitude", "issues"), _SAMPLE_ROWS)
    updates = sample_updated(work, _UPDATED_ITEMS) if activation.updated else []
    inserts = sample_inserted(work) if activation.inserted else []
    sections = [
        f"### {work.branch.name}: {_headline(activation)}",
        _counts(activation),
        *_section("Where the items are", _map(work, sample)),
        *_section("What changed, old → new", _differences(updates)),
        *_section("New items, some of them", _new_items(inserts)),
        *rejects_section(work),
        *_section("What normalization changed or set aside", _issues(activation, sample)),
        _footer(work),
    ]
    return dg.MetadataValue.md("\n\n".join(sections))


def plan_report(work: Work, plan: Mapping[str, Any]) -> dg.MetadataValue[Any]:
    """The report of a dry run: what an ingest would do."""
    counts = {name: int(plan[name]) for name in COLOURS if name in plan}
    by_column = [{"column": name, "updates": count} for name, count in plan.get("by_column", {}).items()]
    sections = [
        f"### {work.branch.name}: a dry run, nothing was written to core.items",
        pictures.image(pictures.proportions(counts, COLOURS), f"it would be: {_list_counts(counts)}"),
        *_section("Updates by column", str(table_of(by_column).value) if by_column else ""),
        *_section("What would change, old → new", _differences(plan.get("samples", []))),
        *_section("What would be embedded", str(table_of(plan["embedding"]).value) if plan.get("embedding") else ""),
        *rejects_section(work),
        f"`ingest run {shlex.quote(work.branch.name)}` does it, and uses the parts that are ready.",
    ]
    return dg.MetadataValue.md("\n\n".join(sections))


def rejects_section(work: Work) -> list[str]:
    """A section of the rejects by code, with what to do; empty where there are none."""
    activation = work.activation
    title = f"Rejected: {activation.rejected or 0:,} of {activation.rows_read or 0:,} rows"
    hint = f"`ingest rejects {shlex.quote(work.branch.name)}` shows each of them."
    table = codes_table(reject_codes(work.connection, activation.activation_id), REASONS)
    return _section(title, f"{hint}\n\n{table}" if table else "")


def _section(title: str, text: str) -> list[str]:
    return [f"#### {title}", text] if text else []


def _list_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing"


def _headline(activation: Activation) -> str:
    changed = {name: getattr(activation, name) or 0 for name in ("inserted", "updated", "touched")}
    return _list_counts(changed) if any(changed.values()) else "nothing changed in core.items"


def _counts(activation: Activation) -> str:
    counts = {name: int(getattr(activation, name) or 0) for name in COLOURS if hasattr(activation, name)}
    text = f"{activation.rows_read or 0:,} rows read: {_list_counts(counts)}"
    return pictures.image(pictures.proportions(counts, COLOURS), text) + _missing(activation)


def _missing(activation: Activation) -> str:
    if not activation.missing:
        return ""
    fate = f"{activation.tombstoned:,} are marked as deleted" if activation.tombstoned else "they are kept"
    return f"\n\n{activation.missing:,} items of this branch were not in this activation; {fate}."


def _differences(changes: Sequence[Mapping[str, Any]]) -> str:
    """Some old and new values of each column, the columns that change most often first."""
    by_column = Counter(str(change["field"]) for change in changes).most_common(_MOST_COLUMNS)
    rows = [
        {
            "column": column,
            "key": change["external_id"],
            "old": _shown_value(change["old"]),
            "→": "→",
            "new": _shown_value(change["new"]),
        }
        for column, _ in sorted(by_column, key=lambda item: item[0] == "source_updated_at")
        for change in [change for change in changes if change["field"] == column][:_SAMPLES_PER_COLUMN]
    ]
    return str(table_of(rows).value) if rows else ""


def _shown_value(value: object) -> object:
    return _NULL if value is None else value


def _new_items(inserts: Sequence[Mapping[str, Any]]) -> str:
    rows = [{name: value for name, value in item.items() if name in _COLUMNS_OF_NEW_ITEMS} for item in inserts]
    return str(table_of(rows).value) if rows else ""


def _issues(activation: Activation, sample: pa.Table) -> str:
    codes = Counter(issue["code"] for text in sample["issues"].to_pylist() if text for issue in json.loads(text))
    if not codes:
        return ""
    counts = dict(codes.most_common(_MOST_ISSUES))
    rows = f"{sample.num_rows:,} rows"
    if sample.num_rows < (activation.valid or 0):
        rows = f"a sample of {rows}, of {activation.valid:,}"
    picture = pictures.image(pictures.bars(counts, COLOURS["issues"]), _list_counts(counts))
    return f"Seen in {rows}.\n\n{picture}\n\n{codes_table(counts, ISSUES)}"


def _map(work: Work, sample: pa.Table) -> str:
    activation = work.activation
    places = _places(sample["latitude"].to_pylist(), sample["longitude"].to_pylist())
    if not places:
        return ""
    kinds = {"unchanged": places, "updated": [], "inserted": []}
    if activation.inserted and activation.inserted == activation.valid:
        kinds = {"inserted": places}
    else:
        for operation, latitude, longitude in sample_changed_places(work):
            if operation in _OPERATIONS:
                kinds[_OPERATIONS[operation]].append((latitude, longitude))
    shown = {kind: places_of_kind for kind, places_of_kind in kinds.items() if places_of_kind}
    return pictures.image(pictures.map_of(shown, COLOURS), f"{len(places):,} items on a map")


def _places(latitudes: Iterable[float | None], longitudes: Iterable[float | None]) -> list[pictures.Place]:
    pairs = zip(latitudes, longitudes, strict=True)
    return [(latitude, longitude) for latitude, longitude in pairs if latitude is not None and longitude is not None]


def _footer(work: Work) -> str:
    partition = f"/assets/core_items?view=partitions&partition={quote(work.branch.name, safe='')}"
    return (
        f"[Branch {work.branch.name}]({partition}), activation {work.activation.activation_id}, "
        f"of source {work.branch.spec.source}: `{work.spec.location}`"
    )


def source_metadata(work: Work) -> dict[str, dg.MetadataValue[Any]]:
    """The source of the branch, and where its data is: a link where the UI can follow it."""
    return {
        "source": dg.MetadataValue.text(work.branch.spec.source),
        "location": _location(work.spec.location),
    }


def _location(location: str) -> dg.MetadataValue[Any]:
    if location.startswith(("http://", "https://")):
        return dg.MetadataValue.url(location)
    return dg.MetadataValue.text(location) if "://" in location else dg.MetadataValue.path(location)
