"""What the columns of an activation hold, and how that differs from the last one: cheap enough to make every time.

All of it is of all rows. Nulls and extremes are those of the statistics that every Parquet file carries, issues are
counted by DuckDB. Values are counted one by one while a column has at most 20,000 of them; of one that has more DuckDB
estimates how many (HyperLogLog, some per cent off), and counts those that were frequent as far as they were counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.errors import first_line
from ingest_project.item import columns, item_schema
from ingest_project.normalize import profiles
from ingest_project.normalize.columns import as_one, shown
from ingest_project.settings import settings
from ingest_project.telemetry import log

PROFILED = (*columns(), "source_updated_at")
_COUNTED = 20_000  # different values of a column that are counted one by one
_HEAVY = 16 << 20  # bytes of them
_TOP = 5
_MEMORY = "512MB"
_MOVED = 0.1  # a share that moves by a tenth of all rows is told
_FACTOR = 2  # and so is twice or half as many different values
_FEW = 10
_ISSUES = """
select issue.field, issue.code, count(*) from (
  select unnest(from_json(issues, '[{"field": "VARCHAR", "code": "VARCHAR"}]')) as issue
    from read_parquet($paths) where issues <> '[]')
 group by all order by 3 desc, 1, 2
"""
_DIFFERENT = sql.SQL("select {} from read_parquet($paths)")
_HOW_MANY = sql.SQL("approx_count_distinct({})")
_HOW_OFTEN = sql.SQL("""
select list_position($values, {}) as place, count(*) from read_parquet($paths) where place is not null group by 1
""")


@dataclass(frozen=True)
class ColumnProfile:
    """`top` are the most frequent values, each with its number of rows.

    Where it is `approximate`, `distinct` is an estimate, and a value may be more frequent than those of `top`. Without
    extremes it is null everywhere, or has values too long for the statistics of a file.
    """

    column: str
    nulls: int
    distinct: int = 0
    approximate: bool = False
    min: str | None = None
    max: str | None = None
    top: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Profile:
    """Of the items of an activation; `issues` are {field, code, rows}, most frequent first."""

    rows: int
    columns: list[ColumnProfile]
    issues: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Give what `drift` compares."""
        return asdict(self)


def profiled(paths: Sequence[str]) -> Profile:
    """Profile normalized parts, local files. Raises duckdb.Error."""
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    if not rows:
        return Profile(0, [], [])
    found = {one.column: one for one in _extremes(paths)}
    counted, many = _counted(paths, [name for name, one in found.items() if one.nulls < rows])
    bounds: dict[str, str | bool | int | float | list[str]] = {"memory_limit": _MEMORY, "threads": 2}
    with duckdb.connect(":memory:", config=bounds) as connection:
        issues = connection.execute(_ISSUES, {"paths": list(paths)}).fetchall()
        distinct = _estimated(connection, paths, list(many))
        often = {name: _often(connection, paths, name, values) for name, values in many.items()}
    for name, counts in counted.items():
        found[name] = replace(found[name], distinct=len(counts), top=_top(counts))
    for name, counts in often.items():
        most = min(distinct[name], rows - found[name].nulls)
        found[name] = replace(found[name], distinct=most, approximate=True, top=_top(counts))
    told = [{"field": name, "code": code, "rows": count} for name, code, count in issues]
    return Profile(rows, list(found.values()), told)


def profile_of(work: Work, paths: Sequence[str]) -> dict[str, Any] | None:
    """Profile the normalized parts; None where the settings say so, or where it fails: no data waits for it."""
    if not settings().profile:
        return None
    last = activations.last_committed(work.connection, work.branch.branch_id)
    before = profiles.find(work.connection, last.activation_id) if last else None
    against = last.activation_id if last and before else None
    if before and against and _is_of_the_same(work, before, against):
        return {**before, "against": against, "drift": []}
    try:
        profile = profiled(paths).to_json()
    except Exception as error:  # of whatever library, or for want of memory or room on the disk
        log.warning("no profile of this activation: %s", first_line(error))
        return None
    return {**profile, "against": against, "drift": drift(before, profile) if before else []}


def _is_of_the_same(work: Work, before: Mapping[str, Any], against: int) -> bool:
    """Whether the profile of the last activation is, figure by figure, what would be found again."""
    whole = "sampled" not in before
    return whole and profiles.same_parts(work.connection, against, work.activation.activation_id)


def null_counts(paths: Sequence[str]) -> dict[str, int]:
    """In how many rows each field is null."""
    return {one.column: one.nulls for one in _extremes(paths)}


def _extremes(paths: Sequence[str]) -> list[ColumnProfile]:
    nulls = dict.fromkeys(PROFILED, 0)
    seen: dict[str, list[Any]] = {name: [] for name in PROFILED}
    without_extremes: set[str] = set()
    schema = item_schema()
    for path in paths:
        file = pq.read_metadata(path)
        for group in (file.row_group(at) for at in range(file.num_row_groups)):
            for name in PROFILED:
                told = group.column(schema.get_field_index(name)).statistics
                nulls[name] += told.null_count
                seen[name] += [told.min, told.max] if told.has_min_max else []
                if not told.has_min_max and told.null_count < group.num_rows:
                    without_extremes.add(name)
    for name in without_extremes:
        seen[name] = []
    return [
        ColumnProfile(
            name, nulls[name], min=shown(min(seen[name], default=None)), max=shown(max(seen[name], default=None))
        )
        for name in PROFILED
    ]


def _counted(paths: Sequence[str], names: Sequence[str]) -> tuple[dict[str, pa.Table], dict[str, pa.Array]]:
    """Value and rows of the columns that have few different ones; of the others those that were frequent so far."""
    counted: dict[str, pa.Table] = {}
    many: dict[str, pa.Array] = {}
    for path in paths:
        part = pq.read_table(path, columns=[name for name in names if name not in many])
        for name in part.column_names:
            counts = _merged(counted.pop(name, None), part[name].value_counts())
            if len(counts) > _COUNTED or counts.nbytes > _HEAVY:
                many[name] = as_one(_frequent(counts)["value"])
            else:
                counted[name] = counts
    return counted, many


def _merged(before: pa.Table | None, counts: pa.StructArray) -> pa.Table:
    now = pa.table({"value": counts.field("values"), "rows": counts.field("counts")}).drop_null()
    if before is None:
        return now
    both = pa.concat_tables([before, now]).group_by("value", use_threads=False).aggregate([("rows", "sum")])
    return both.rename_columns(["value", "rows"])


def _frequent(counts: pa.Table) -> pa.Table:
    several = counts.filter(pc.greater(counts["rows"], 1))
    return several.take(pc.select_k_unstable(several, _TOP, [("rows", "descending"), ("value", "ascending")]))


def _top(counts: pa.Table) -> list[tuple[str, int]]:
    return [(shown(one["value"]) or "", one["rows"]) for one in _frequent(counts).to_pylist()]


def _estimated(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    if not names:
        return {}
    wanted = sql.SQL(", ").join(_HOW_MANY.format(sql.Identifier(name)) for name in names)
    row = connection.execute(_DIFFERENT.format(wanted).as_string(None), {"paths": list(paths)}).fetchone()
    return dict(zip(names, row or (), strict=True))


def _often(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], name: str, values: pa.Array) -> pa.Table:
    asked = _HOW_OFTEN.format(sql.Identifier(name)).as_string(None)
    rows = dict(connection.execute(asked, {"paths": list(paths), "values": values.to_pylist()}).fetchall())
    return pa.table({"value": values, "rows": [rows.get(place, 0) for place in range(1, len(values) + 1)]})


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
        if _of_all(before) and _differ(old["distinct"] / before["rows"], one["distinct"] / now["rows"], one, old):
            was, share = profiles.different(old), profiles.different(one)
            yield {"column": one["column"], "what": "different values", "was": was, "now": share}


def _of_all(told: Mapping[str, Any]) -> bool:
    # Until ADR 28 values were those of a sample: a figure of all rows is not held against theirs.
    return told.get("sampled", told["rows"]) == told["rows"]


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
