"""Metadata of materializations: numbers, which the UI plots over time, and tables for people."""

import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from ingest_project.branches.activations import Activation
from ingest_project.codes import Code
from ingest_project.item import EXTRA_COLUMNS, Item, columns, item_schema
from ingest_project.normalize import profiles
from ingest_project.normalize.cells import to_python

PREVIEW_ROWS = 8
PREVIEW_WIDTH = 40
MEANING_WIDTH = 100


def peak_memory_mb() -> float:
    """Greatest resident size of this process so far, in MB."""
    peak = _linux_peak_kb() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024 * 1024), 1)


def _linux_peak_kb() -> int | None:
    # On Linux `ru_maxrss` includes what the parent held when it started this process. A sandbox may hide the file.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def counts(activation: Activation, *names: str) -> dict[str, int]:
    """The named counts of an activation, without those that are not known yet."""
    values = {name: getattr(activation, name) for name in names}
    return {name: int(value) for name, value in values.items() if value is not None}


def pace(rows: int, seconds: float) -> dict[str, float]:
    """How long a step took, and its rows per second."""
    return {"seconds": round(seconds, 3), "rows_per_second": round(rows / seconds) if seconds > 0 else 0}


def preview(table: pa.Table) -> dg.MetadataValue[Any]:
    """The first rows as a markdown table; columns without any value in them are left out."""
    head = table.slice(0, PREVIEW_ROWS)
    columns = {name: to_python(head[name]) for name in head.column_names if head[name].null_count < len(head)}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return table_of(rows) if rows else dg.MetadataValue.md("no rows")


def table_of(rows: Sequence[Mapping[str, object]], *, width: int = PREVIEW_WIDTH) -> dg.MetadataValue[Any]:
    """Rows as a markdown table; longer values are cut to `width` characters."""
    if not rows:
        return dg.MetadataValue.md("none")
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name), width) for name in names] for row in rows]
    frame = pd.DataFrame(cells, columns=[_cell(name, width) for name in names])
    # Values are shown as they are: 007 is a key, not the number 7.
    return dg.MetadataValue.md(frame.to_markdown(index=False, disable_numparse=True))


def codes_table(counts: Mapping[str, int], codes: Mapping[str, Code]) -> str:
    """How many rows have which code, what it means, and what to do about it; empty where there are none."""
    rows = [
        {"code": code, "rows": f"{count:,}", "meaning": codes[code].meaning, "to do": codes[code].remedy}
        for code, count in counts.items()
        if code in codes
    ]
    return str(table_of(rows, width=MEANING_WIDTH).value) if rows else ""


def _cell(value: object, width: int) -> str:
    text = " ".join(("" if value is None else str(value)).splitlines())
    text = text if len(text) <= width else text[: width - 1] + "…"
    return text.replace("\\", "\\\\").replace("|", "\\|")


def profile_tables(profile: Mapping[str, Any]) -> dict[str, dg.MetadataValue[Any]]:
    """Columns, issues and drift of an activation as tables; columns that are null everywhere are left out."""
    rows = [
        {
            **{name: column[name] for name in ("column", "nulls", "min", "max")},
            "distinct": profiles.format_distinct(column),
            "frequent": ", ".join(f"{value} ({count:,})" for value, count in column["top"]),
        }
        for column in profile["columns"]
        if column["nulls"] < profile["rows"]
    ]
    tables = {"profile": rows, "issues": profile["issues"], "profile_drift": profile["drift"]}
    return {name: table_of(rows) for name, rows in tables.items() if rows}


def item_table_schema() -> dg.TableSchema:
    """The columns of a normalized part, from the item's declaration."""
    descriptions = {name: field.description for name, field in Item.model_fields.items()} | EXTRA_COLUMNS
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=columns()[field.name].sql if field.name in columns() else str(field.type),
                description=descriptions.get(field.name),
            )
            for field in item_schema()
        ]
    )
