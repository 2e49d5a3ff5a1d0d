"""Promise 8: memory is bounded by the part, not by the branch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ingest_project.branches import registry
from ingest_project.branches.spec import load_spec
from ingest_project.postgres.connection import session
from ingest_project.sample import SPEC, write_demo
from ingest_project_tests.house.test_architecture import REPOSITORY

PART = 2_000
FEW, MANY = 6_000, 60_000  # three parts, thirty parts
MOST = 40  # MB that nine tenths of all rows may cost: allocators are not exact, a row of these is about 1 kB


def peak_of(folder: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Greatest MB of a process that ingests so many rows and does nothing else."""
    source = folder / f"{rows}.csv"
    write_demo(source, rows)
    name = f"rows-{rows}"
    with session() as connection:
        registry.apply_branch(
            connection, load_spec(SPEC).model_copy(update={"name": name, "source": name, "location": str(source)})
        )
    monkeypatch.setenv("INGEST_BATCH_SIZE", str(PART))
    command = [sys.executable, "-m", "ingest_project_tests.benchmarks.measured", name, "run"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY, timeout=300)
    told = json.loads(done.stdout)
    assert told["counts"]["valid"] > rows * 0.98
    return told["peak_mb"]


def test_ten_times_the_rows_take_no_more_memory(
    fresh_database: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (peak_of(tmp_path, rows, monkeypatch) for rows in (FEW, MANY))
    assert many - few < MOST, f"{few} MB for {FEW:,} rows, {many} MB for {MANY:,}"
