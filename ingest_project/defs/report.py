"""What one ingest came to, as a page that a person reads: counts and pictures, old → new, rejects, issues, a map."""

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
from ingest_project.normalize.sampled import sampled
from ingest_project.upsert.changes import changed_places, inserted_samples, updated_samples

COLOURS = {
    "inserted": "#2e9e6b",
    "updated": "#e08a1e",
    "touched": "#6f8fc9",
    "unchanged": "#b4bcc8",
    "stale": "#9a6fb0",
    "rejected": "#c8443c",
    "issues": "#6f8fc9",
}
_SAMPLE = 4_000  # rows looked at for the map and the issues
_LOOKED_AT = 200  # updated items, for samples of each column
_PER_COLUMN = 3
_COLUMNS = 12
_ISSUES = 12
_TELLING = {KEY, "name", "category", "street", "locality", "country_code", "price", "currency"}
_NOTHING = "(none)"  # a blank cell would be overlooked
_OPS = {"i": "inserted", "u": "updated", "r": "updated"}


def report(work: Work, store: PartStore) -> dg.MetadataValue[Any]:
    """The page of an activation that is in core.items."""
    activation = work.activation
    sample = sampled(work, store, ("latitude", "longitude", "issues"), _SAMPLE)
    updates = updated_samples(work, _LOOKED_AT) if activation.updated else []
    inserts = inserted_samples(work) if activation.inserted else []
    sections = [
        f"### {work.branch.name}: {_in_words(activation)}",
        _counts(activation),
        *_section("Where the items are", _map(work, sample)),
        *_section("What changed, old → new", _differences(updates)),
        *_section("New items, some of them", _new(inserts)),
        *rejects_section(work),
        *_section("What normalization changed or set aside", _issues(activation, sample)),
        _links(work),
    ]
    return dg.MetadataValue.md("\n\n".join(sections))


def plan_report(work: Work, plan: Mapping[str, Any]) -> dg.MetadataValue[Any]:
    """The page of a dry run: what an ingest would do."""
    counts = {name: int(plan[name]) for name in COLOURS if name in plan}
    by_column = [{"column": name, "updates": count} for name, count in plan.get("by_column", {}).items()]
    sections = [
        f"### {work.branch.name}: a dry run, nothing was written to core.items",
        pictures.image(pictures.proportions(counts, COLOURS), f"it would be: {_listed(counts)}"),
        *_section("Updates by column", str(table_of(by_column).value) if by_column else ""),
        *_section("What would change, old → new", _differences(plan.get("samples", []))),
        *_section("What would be embedded", str(table_of(plan["embedding"]).value) if plan.get("embedding") else ""),
        *rejects_section(work),
        f"`ingest run {shlex.quote(work.branch.name)}` does it, and uses the parts that are ready.",
    ]
    return dg.MetadataValue.md("\n\n".join(sections))


def rejects_section(work: Work) -> list[str]:
    """Rejects by code, with what to do; nothing where there are none."""
    activation = work.activation
    found = reject_codes(work.connection, activation.activation_id)
    title = f"Rejected: {activation.rejected or 0:,} of {activation.rows_read or 0:,} rows"
    words = f"`ingest rejects {shlex.quote(work.branch.name)}` shows each of them."
    table = codes_table(found, REASONS)
    return _section(title, f"{words}\n\n{table}" if table else "")


def _section(title: str, text: str) -> list[str]:
    return [f"#### {title}", text] if text else []


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing"


def _in_words(activation: Activation) -> str:
    changed = {name: getattr(activation, name) or 0 for name in ("inserted", "updated", "touched")}
    return _listed(changed) if any(changed.values()) else "nothing changed in core.items"


def _counts(activation: Activation) -> str:
    counts = {name: int(getattr(activation, name) or 0) for name in COLOURS if hasattr(activation, name)}
    words = f"{activation.rows_read or 0:,} rows read: {_listed(counts)}"
    return pictures.image(pictures.proportions(counts, COLOURS), words) + _missing(activation)


def _missing(activation: Activation) -> str:
    if not activation.missing:
        return ""
    became = f"{activation.tombstoned:,} are marked as deleted" if activation.tombstoned else "they are kept"
    return f"\n\n{activation.missing:,} items of this branch were not in this activation; {became}."


def _differences(found: Sequence[Mapping[str, Any]]) -> str:
    """Some old and new values of each column, the columns that change most often first."""
    columns = Counter(str(one["field"]) for one in found)
    rows = [
        {"column": name, "key": one["external_id"], "old": _said(one["old"]), "→": "→", "new": _said(one["new"])}
        for name, _ in sorted(columns.most_common(_COLUMNS), key=lambda one: one[0] == "source_updated_at")
        for one in [one for one in found if one["field"] == name][:_PER_COLUMN]
    ]
    return str(table_of(rows).value) if rows else ""


def _said(value: object) -> object:
    return _NOTHING if value is None else value


def _new(inserts: Sequence[Mapping[str, Any]]) -> str:
    rows = [{name: value for name, value in one.items() if name in _TELLING} for one in inserts]
    return str(table_of(rows).value) if rows else ""


def _issues(activation: Activation, sample: pa.Table) -> str:
    found = Counter(issue["code"] for text in sample["issues"].to_pylist() if text for issue in json.loads(text))
    if not found:
        return ""
    most = dict(found.most_common(_ISSUES))
    whole = f"{sample.num_rows:,} rows"
    if sample.num_rows < (activation.valid or 0):
        whole = f"a sample of {whole}, of {activation.valid:,}"
    picture = pictures.image(pictures.bars(most, COLOURS["issues"]), _listed(most))
    return f"Seen in {whole}.\n\n{picture}\n\n{codes_table(most, ISSUES)}"


def _map(work: Work, sample: pa.Table) -> str:
    activation = work.activation
    places = _placed(sample["latitude"].to_pylist(), sample["longitude"].to_pylist())
    if not places:
        return ""
    kinds = {"unchanged": places, "updated": [], "inserted": []}
    if activation.inserted and activation.inserted == activation.valid:
        kinds = {"inserted": places}
    else:
        for op, latitude, longitude in changed_places(work):
            if op in _OPS:
                kinds[_OPS[op]].append((latitude, longitude))
    shown = {name: found for name, found in kinds.items() if found}
    return pictures.image(pictures.map_of(shown, COLOURS), f"{len(places):,} items on a map")


def _placed(latitudes: Iterable[float | None], longitudes: Iterable[float | None]) -> list[pictures.Place]:
    pairs = zip(latitudes, longitudes, strict=True)
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def _links(work: Work) -> str:
    branch = quote(work.branch.name, safe="")
    history = f"/assets/core_items?view=partitions&partition={branch}"
    return (
        f"[Branch {work.branch.name}]({history}), activation {work.activation.activation_id}, "
        f"of source {work.branch.spec.source}: `{work.spec.location}`"
    )


def links(work: Work) -> dict[str, dg.MetadataValue[Any]]:
    """Where the branch is shown, and where its data is."""
    location = work.spec.location
    where = dg.MetadataValue.url(location) if location.startswith(("http://", "https://")) else None
    return {
        "source": dg.MetadataValue.text(work.branch.spec.source),
        "location": where
        or (dg.MetadataValue.text(location) if "://" in location else dg.MetadataValue.path(location)),
    }
