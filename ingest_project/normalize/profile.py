"""What the columns of an activation hold, and how that differs from the last one: cheap enough to make every time.

Nulls and extremes are exact: the statistics that every Parquet file carries. Different and frequent values are those
of at most 10,000 rows, spread over the parts; issues are counted in all rows, by DuckDB.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.item import columns, item_schema
from ingest_project.normalize import profiles
from ingest_project.normalize.columns import shown
from ingest_project.settings import settings
from ingest_project.telemetry import log

PROFILED = (*columns(), "source_updated_at")
_SAMPLE = 10_000
_SPREAD = 8  # parts that a sample is taken from
_TOP = 5
_MEMORY = "512MB"
_MOVED = 0.1  # a share that moves by a tenth of all rows is told
_FACTOR = 2  # and so is twice or half as many different values
_FEW = 10
_ISSUES = """
select issue.field, issue.code, count(*) from (
  select unnest(from_json(issues, '[{"field": "VARCHAR", "code": "VARCHAR"}]')) as issue
    from read_parquet(?) where issues <> '[]')
 group by all order by 3 desc, 1, 2
"""


@dataclass(frozen=True)
class ColumnProfile:
    """`distinct` and `top`, values with their number of rows, are those of the sample."""

    column: str
    nulls: int
    distinct: int = 0
    min: str | None = None
    max: str | None = None
    top: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Profile:
    """Of the items of an activation; `issues` are {field, code, rows}, most frequent first."""

    rows: int
    sampled: int
    columns: list[ColumnProfile]
    issues: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Give what `drift` compares."""
        return asdict(self)


def profiled(paths: Sequence[str]) -> Profile:
    """Profile normalized parts, local files. Raises duckdb.Error."""
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    if not rows:
        return Profile(0, 0, [], [])
    sample = _sample(paths, rows)
    bounds: dict[str, str | bool | int | float | list[str]] = {"memory_limit": _MEMORY, "threads": 2}
    with duckdb.connect(":memory:", config=bounds) as connection:
        issues = connection.execute(_ISSUES, [list(paths)]).fetchall()
    found = [_with_values(one, sample[one.column]) for one in _extremes(paths)]
    told = [{"field": name, "code": code, "rows": count} for name, code, count in issues]
    return Profile(rows, sample.num_rows, found, told)


def profile_of(work: Work, paths: Sequence[str]) -> dict[str, Any] | None:
    """Profile the normalized parts; None where the settings say so, or where it fails: no data waits for it."""
    if not settings().profile:
        return None
    try:
        profile = profiled(paths).to_json()
    except duckdb.Error as error:
        log.warning("no profile of this activation: %s", error)
        return None
    last = activations.last_committed(work.connection, work.branch.branch_id)
    before = profiles.find(work.connection, last.activation_id) if last else None
    against = last.activation_id if last and before else None
    return {**profile, "against": against, "drift": drift(before, profile) if before else []}


def null_counts(paths: Sequence[str], fields: Sequence[str]) -> dict[str, int]:
    """In how many rows each of the fields is null."""
    found = {one.column: one.nulls for one in _extremes(paths)} if fields else {}
    return {name: found.get(name, 0) for name in fields}


def _extremes(paths: Sequence[str]) -> list[ColumnProfile]:
    nulls = dict.fromkeys(PROFILED, 0)
    seen: dict[str, list[Any]] = {name: [] for name in PROFILED}
    schema = item_schema()
    for path in paths:
        file = pq.read_metadata(path)
        for group in (file.row_group(at) for at in range(file.num_row_groups)):
            for name in PROFILED:
                told = group.column(schema.get_field_index(name)).statistics
                nulls[name] += told.null_count
                seen[name] += [told.min, told.max] if told.has_min_max else []
    return [
        ColumnProfile(
            name, nulls[name], min=shown(min(seen[name], default=None)), max=shown(max(seen[name], default=None))
        )
        for name in PROFILED
    ]


def _sample(paths: Sequence[str], rows: int) -> pa.Table:
    whole = rows <= _SAMPLE
    taken = list(paths) if whole else list(paths[:: max(1, len(paths) // _SPREAD)])
    return pa.concat_tables([_first_rows(path, rows if whole else _SAMPLE // len(taken)) for path in taken])


def _first_rows(path: str, count: int) -> pa.Table:
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=count, columns=list(PROFILED))
        return pa.Table.from_batches([next(batches)])


def _with_values(told: ColumnProfile, sample: pa.ChunkedArray) -> ColumnProfile:
    counted = sample.drop_null().value_counts()
    several = counted.filter(pc.greater(counted.field("counts"), 1)).to_pylist()
    pairs = [(shown(one["values"]) or "", one["counts"]) for one in several]
    return replace(told, distinct=len(counted), top=sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:_TOP])


# ── against the last one ────────────────────────────────────────────────────────────────────────────────────


def drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What moved between two profiles, as {column, what, was, now}: shares of nulls and issues, different values."""
    if not before["rows"] or not now["rows"]:
        return []
    return [*_moved_columns(before, now), *_moved_issues(before, now)]


def _moved_columns(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    known = {one["column"]: one for one in before["columns"]}
    for one in now["columns"]:
        old = known.get(one["column"])
        if old is None:
            continue
        was, share = old["nulls"] / before["rows"], one["nulls"] / now["rows"]
        if abs(share - was) >= _MOVED:
            yield {"column": one["column"], "what": "null", "was": f"{was:.1%}", "now": f"{share:.1%}"}
        if _differ(old["distinct"] / before["sampled"], one["distinct"] / now["sampled"], one, old):
            was, share = old["distinct"], one["distinct"]
            yield {"column": one["column"], "what": "different values", "was": f"{was:,}", "now": f"{share:,}"}


def _differ(was: float, now: float, one: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    # A share of the rows: twice as many rows may well have twice as many values.
    many = max(one["distinct"], old["distinct"]) >= _FEW
    counts = sorted((one["distinct"], old["distinct"]))
    return many and max(was, now) > _FACTOR * min(was, now) and counts[1] > _FACTOR * counts[0]


def _moved_issues(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    shares = [
        {(one["field"], one["code"]): one["rows"] / told["rows"] for one in told["issues"]} for told in (before, now)
    ]
    for column, code in dict.fromkeys([*shares[0], *shares[1]]):
        was, share = (told.get((column, code), 0.0) for told in shares)
        if abs(share - was) >= _MOVED:
            yield {"column": column, "what": code, "was": f"{was:.1%}", "now": f"{share:.1%}"}
