"""What a materialization shows: counts that plot over time, and previews that a person reads."""

import resource
import sys
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from ingest_project.branches.activations import Activation
from ingest_project.item import Item, columns, item_schema

PREVIEW_ROWS = 8
PREVIEW_WIDTH = 40


def peak_memory_mb() -> float:
    """Greatest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024 * 1024), 1)


def counts(activation: Activation, *names: str) -> dict[str, int]:
    """Those counts of an activation that are known by now."""
    found = {name: getattr(activation, name) for name in names}
    return {name: int(value) for name, value in found.items() if value is not None}


def pace(rows: int, seconds: float) -> dict[str, float]:
    """How long a step took, and rows per second of it."""
    return {"seconds": round(seconds, 3), "rows_per_second": round(rows / seconds) if seconds > 0 else 0}


def preview(table: pa.Table) -> dg.MetadataValue[Any]:
    """The first rows as a markdown table; columns without any value in them are left out."""
    head = table.slice(0, PREVIEW_ROWS)
    kept = [name for name in head.column_names if head[name].null_count < len(head)]
    frame = head.select(kept).to_pandas(types_mapper=pd.ArrowDtype)
    return dg.MetadataValue.md(frame.map(_shortened).to_markdown(index=False) if len(frame) else "no rows")


def _shortened(value: object) -> str:
    text = "" if value is None or value is pd.NA else str(value)
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= PREVIEW_WIDTH else text[: PREVIEW_WIDTH - 1] + "…"


def table_of(rows: list[Mapping[str, object]]) -> dg.MetadataValue[Any]:
    """Rows as a markdown table."""
    frame = pd.DataFrame([dict(row) for row in rows])
    return dg.MetadataValue.md(frame.map(_shortened).to_markdown(index=False) if len(frame) else "none")


def item_table_schema() -> dg.TableSchema:
    """The columns of a normalized part, from the item's declaration."""
    described = {name: field.description for name, field in Item.model_fields.items()}
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=field.name,
                type=columns()[field.name].sql if field.name in columns() else str(field.type),
                description=described.get(field.name),
            )
            for field in item_schema()
        ]
    )


def source_table_schema(names: list[str]) -> dg.TableSchema:
    """The columns of a source, as they come."""
    return dg.TableSchema(columns=[dg.TableColumn(name=name) for name in names])
