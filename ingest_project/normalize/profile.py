"""Profiles the columns of an activation and compares them with the last profile: cheap enough for every activation.

A profile covers all rows. Nulls and extremes come from the statistics of the Parquet files; DuckDB counts the issues.
Values are counted exactly as long as a column has at most 20,000 distinct ones. For a column with more, DuckDB
estimates their number (HyperLogLog, a few per cent off) and counts the values that were the most frequent until then.
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
from ingest_project.normalize.columns import as_array, excerpt
from ingest_project.settings import settings
from ingest_project.telemetry import log

PROFILED = (*columns(), "source_updated_at")
_MAX_COUNTED = 20_000  # distinct values of a column that are counted exactly
_MAX_COUNTED_BYTES = 16 << 20
_TOP = 5
_MEMORY = "512MB"
# Drift is reported when a ratio changes by a tenth of all rows, or distinct values double or halve, unless few.
_MIN_RATIO_CHANGE = 0.1
_MIN_DISTINCT_FACTOR = 2
_FEW_DISTINCT = 10
_COUNT_ISSUES = """
select issue.field, issue.code, count(*) from (
  select unnest(from_json(issues, '[{"field": "VARCHAR", "code": "VARCHAR"}]')) as issue
    from read_parquet($paths) where issues <> '[]')
 group by all order by 3 desc, 1, 2
"""
_ESTIMATE_DISTINCT = sql.SQL("select {} from read_parquet($paths)")
_APPROX_COUNT = sql.SQL("approx_count_distinct({})")
_COUNT_VALUES = sql.SQL("""
select list_position($values, {}) as place, count(*) from read_parquet($paths) where place is not null group by 1
""")


@dataclass(frozen=True)
class ColumnProfile:
    """The profile of one column; `top` are its most frequent values, each with its number of rows.

    If `approximate`, `distinct` is an estimate, and other values may be more frequent than those of `top`. `min` and
    `max` are None if all values are null or some are too long for the statistics of a file.
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
    """The profile of the items of an activation; `issues` are {field, code, rows}, most frequent first."""

    rows: int
    columns: list[ColumnProfile]
    issues: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The profile as `profiles.save` stores and `drift` compares it."""
        return asdict(self)


def profile_parts(paths: Sequence[str]) -> Profile:
    """Profile normalized parts, given as local files. Raises duckdb.Error."""
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    if not rows:
        return Profile(0, [], [])
    columns = {column.column: column for column in _from_statistics(paths)}
    counted, frequent = _count_values(paths, [name for name, column in columns.items() if column.nulls < rows])
    limits: dict[str, str | bool | int | float | list[str]] = {"memory_limit": _MEMORY, "threads": 2}
    with duckdb.connect(":memory:", config=limits) as connection:
        issue_counts = connection.execute(_COUNT_ISSUES, {"paths": list(paths)}).fetchall()
        estimates = _estimate_distinct(connection, paths, list(frequent))
        recounted = {name: _count_again(connection, paths, name, values) for name, values in frequent.items()}
    for name, counts in counted.items():
        columns[name] = replace(columns[name], distinct=len(counts), top=_top(counts))
    for name, counts in recounted.items():
        distinct = min(estimates[name], rows - columns[name].nulls)
        columns[name] = replace(columns[name], distinct=distinct, approximate=True, top=_top(counts))
    issues = [{"field": name, "code": code, "rows": count} for name, code, count in issue_counts]
    return Profile(rows, list(columns.values()), issues)


def profile_of(work: Work, paths: Sequence[str]) -> dict[str, Any] | None:
    """The profile of the normalized parts, with its drift; None if it is switched off, or fails: it stops no ingest."""
    if not settings().profile:
        return None
    last = activations.last_committed(work.connection, work.branch.branch_id)
    before = profiles.find(work.connection, last.activation_id) if last else None
    against = last.activation_id if last and before else None
    if before and against and _is_reusable(work, before, against):
        return {**before, "against": against, "drift": []}
    try:
        profile = profile_parts(paths).to_json()
    except Exception as error:  # of any library, or when memory or disk space run out
        log.warning("no profile of this activation: %s", first_line(error))
        return None
    return {**profile, "against": against, "drift": drift(before, profile) if before else []}


def _is_reusable(work: Work, before: Mapping[str, Any], against: int) -> bool:
    """Whether a new profile would equal that of the last activation."""
    return "sampled" not in before and profiles.has_same_items(work.connection, against, work.activation.activation_id)


def null_counts(paths: Sequence[str]) -> dict[str, int]:
    """The number of rows in which each field is null."""
    return {column.column: column.nulls for column in _from_statistics(paths)}


def _from_statistics(paths: Sequence[str]) -> list[ColumnProfile]:
    """Nulls and extremes from the statistics of Parquet files."""
    nulls = dict.fromkeys(PROFILED, 0)
    extremes: dict[str, list[Any]] = {name: [] for name in PROFILED}
    incomplete: set[str] = set()
    schema = item_schema()
    for path in paths:
        file = pq.read_metadata(path)
        for group in (file.row_group(index) for index in range(file.num_row_groups)):
            for name in PROFILED:
                statistics = group.column(schema.get_field_index(name)).statistics
                nulls[name] += statistics.null_count
                extremes[name] += [statistics.min, statistics.max] if statistics.has_min_max else []
                if not statistics.has_min_max and statistics.null_count < group.num_rows:
                    incomplete.add(name)
    for name in incomplete:
        extremes[name] = []
    return [
        ColumnProfile(
            name,
            nulls[name],
            min=excerpt(min(extremes[name], default=None)),
            max=excerpt(max(extremes[name], default=None)),
        )
        for name in PROFILED
    ]


def _count_values(paths: Sequence[str], names: Sequence[str]) -> tuple[dict[str, pa.Table], dict[str, pa.Array]]:
    """The value counts of the columns with few distinct values; of the others the values most frequent so far."""
    counted: dict[str, pa.Table] = {}
    frequent: dict[str, pa.Array] = {}
    for path in paths:
        part = pq.read_table(path, columns=[name for name in names if name not in frequent])
        for name in part.column_names:
            counts = _add_counts(counted.pop(name, None), part[name].value_counts())
            if len(counts) > _MAX_COUNTED or counts.nbytes > _MAX_COUNTED_BYTES:
                frequent[name] = as_array(_most_frequent(counts)["value"])
            else:
                counted[name] = counts
    return counted, frequent


def _add_counts(total: pa.Table | None, counts: pa.StructArray) -> pa.Table:
    table = pa.table({"value": counts.field("values"), "rows": counts.field("counts")}).drop_null()
    if total is None:
        return table
    summed = pa.concat_tables([total, table]).group_by("value", use_threads=False).aggregate([("rows", "sum")])
    return summed.rename_columns(["value", "rows"])


def _most_frequent(counts: pa.Table) -> pa.Table:
    repeated = counts.filter(pc.greater(counts["rows"], 1))
    return repeated.take(pc.select_k_unstable(repeated, _TOP, [("rows", "descending"), ("value", "ascending")]))


def _top(counts: pa.Table) -> list[tuple[str, int]]:
    return [(excerpt(row["value"]) or "", row["rows"]) for row in _most_frequent(counts).to_pylist()]


def _estimate_distinct(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[str], names: Sequence[str]
) -> dict[str, int]:
    if not names:
        return {}
    estimates = sql.SQL(", ").join(_APPROX_COUNT.format(sql.Identifier(name)) for name in names)
    statement = _ESTIMATE_DISTINCT.format(estimates).as_string(None)
    row = connection.execute(statement, {"paths": list(paths)}).fetchone()
    return dict(zip(names, row or (), strict=True))


def _count_again(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], name: str, values: pa.Array) -> pa.Table:
    """The number of rows of each of these values, over all parts."""
    statement = _COUNT_VALUES.format(sql.Identifier(name)).as_string(None)
    rows = dict(connection.execute(statement, {"paths": list(paths), "values": values.to_pylist()}).fetchall())
    return pa.table({"value": values, "rows": [rows.get(place, 0) for place in range(1, len(values) + 1)]})


# ── drift ───────────────────────────────────────────────────────────────────────────────────────────────────


def drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What differs between two profiles, as {column, what, was, now}: ratios of nulls and issues, distinct values."""
    if not before["rows"] or not now["rows"]:
        return []
    return [*_column_drift(before, now), *_issue_drift(before, now)]


def _column_drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    old_columns = {column["column"]: column for column in before["columns"]}
    for new in now["columns"]:
        name, old = new["column"], old_columns.get(new["column"])
        if old is None:
            continue
        old_ratio, new_ratio = old["nulls"] / before["rows"], new["nulls"] / now["rows"]
        if abs(new_ratio - old_ratio) >= _MIN_RATIO_CHANGE:
            yield {"column": name, "what": "null", "was": f"{old_ratio:.1%}", "now": f"{new_ratio:.1%}"}
        if _is_of_all_rows(before) and _is_distinct_drift(
            old["distinct"], new["distinct"], before["rows"], now["rows"]
        ):
            was, is_now = profiles.format_distinct(old), profiles.format_distinct(new)
            yield {"column": name, "what": "different values", "was": was, "now": is_now}


def _is_of_all_rows(profile: Mapping[str, Any]) -> bool:
    # Before ADR 28 the distinct values were those of a sample, which cannot be compared with those of all rows.
    return profile.get("sampled", profile["rows"]) == profile["rows"]


def _is_distinct_drift(old: int, new: int, old_rows: int, new_rows: int) -> bool:
    # Both the numbers and their ratios to the rows must differ: twice as many rows may well have twice as many values.
    few, many = sorted((old, new))
    low, high = sorted((old / old_rows, new / new_rows))
    return many >= _FEW_DISTINCT and many > _MIN_DISTINCT_FACTOR * few and high > _MIN_DISTINCT_FACTOR * low


def _issue_drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    old_ratios, new_ratios = (
        {(issue["field"], issue["code"]): issue["rows"] / profile["rows"] for issue in profile["issues"]}
        for profile in (before, now)
    )
    for column, code in dict.fromkeys([*old_ratios, *new_ratios]):
        old_ratio, new_ratio = old_ratios.get((column, code), 0.0), new_ratios.get((column, code), 0.0)
        if abs(new_ratio - old_ratio) >= _MIN_RATIO_CHANGE:
            yield {"column": column, "what": code, "was": f"{old_ratio:.1%}", "now": f"{new_ratio:.1%}"}
