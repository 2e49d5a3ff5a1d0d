"""Normalization alone: clean rows beside the row-by-row model of the same run, and what real names resolve to.

    python -m ingest_project_tests.benchmarks normalize [--rows N] [--results FILE]

One core: Arrow is held to one thread, and both are timed by the CPU seconds that they took, the best of three.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest_project.normalize import address
from ingest_project.normalize.part import normalize_part
from ingest_project_tests.benchmarks.listings import listings, spec
from ingest_project_tests.benchmarks.places import keep
from ingest_project_tests.benchmarks.row_by_row import normalize_rows
from ingest_project_tests.conftest import REPOSITORY

PART = 50_000
PEER_ROWS = 10_000  # it takes as long for each row


def main(words: list[str] | None = None) -> None:
    """Measure, print, and keep the results where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m ingest_project_tests.benchmarks normalize")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--results", type=Path, help="also keep the tables in this file")
    chosen = parser.parse_args(words)
    text = f"# Normalization\n\n{rates(chosen.rows)}\n{resolutions()}"
    print(text)
    if chosen.results:
        keep(chosen.results, text)


def rates(rows: int) -> str:
    """Rows a second of both ways, as markdown."""
    pa.set_cpu_count(1)
    branch, size = spec(), min(PART, rows)
    pages = [listings(size, first=1 + start) for start in range(0, rows, size)]
    ours = rows / sum(_best(lambda page=page: normalize_part(page, branch)) for page in pages)
    few = pages[0].slice(0, PEER_ROWS)
    peer = few.num_rows / _best(lambda: normalize_rows(few, branch))
    columns = len(pages[0].column_names) - 2
    return (
        f"| clean rows, {columns} columns, one core | rows/s | ratio |\n| --- | ---: | ---: |\n"
        f"| row by row: the same rules, a pydantic model a row | {peer:,.0f} | 1.0 |\n"
        f"| this project | {ours:,.0f} | {ours / peer:.1f} |\n"
    )


def _best(work: Callable[[], Any], repeats: int = 3) -> float:
    seconds: list[float] = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def resolutions() -> str:
    """How many real names and codes of countries and regions are told, as markdown; nothing where there are none."""
    folder = Path(os.environ.get("INGEST_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        return "\nNo real data here: INGEST_REAL_DATA names its folder.\n"
    lines = ["\n| real names | rows | told | as the list says |", "| --- | ---: | ---: | ---: |"]
    countries = _rows(folder / "ourairports" / "countries.csv")
    for column in ("code", "name"):
        found = [(address.country(row[column]).values[0], row["code"]) for row in countries]
        lines.append(_told(f"countries by {column}", found))
    for path in sorted((folder / "ourairports").glob("regions_*.csv")):
        rows = _rows(path)
        for column in ("code", "local_code", "name"):
            found = [(address.region(row["iso_country"], row[column]).values[0], row["code"]) for row in rows]
            lines.append(_told(f"{path.stem} by {column}", found))
    return "\n".join(lines) + "\n"


def _told(what: str, found: list[tuple[str | None, str]]) -> str:
    told = [one for one in found if one[0] is not None]
    right = sum(one == code for one, code in told)
    return f"| {what} | {len(found):,} | {len(told) / len(found):.1%} | {right / max(len(told), 1):.1%} |"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
