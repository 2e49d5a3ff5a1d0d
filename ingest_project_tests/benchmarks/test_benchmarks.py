"""The benchmark runs and says what it measured; its figures are nobody's assertion: machines are noisy."""

import re
import subprocess
import sys
from pathlib import Path

from ingest_project_tests.house.test_architecture import REPOSITORY


def test_the_benchmark_prints_ratios_to_the_floor_of_the_same_run(superuser: None, tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    done = subprocess.run(
        [sys.executable, "-m", "ingest_project_tests.benchmarks", "--rows", "2000", "--results", str(results)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = results.read_text(encoding="utf-8")
    assert text.strip() in done.stdout
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| 2,000")
    ]
    assert [row[1] for row in rows] == ["floor: plain COPY", "first", "unchanged", "first", "unchanged"]
    for row in rows[1:3]:
        assert all(re.fullmatch(r"[0-9,.]+( s| MB| kB)?", cell) for cell in row[2:]), row
