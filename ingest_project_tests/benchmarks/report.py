"""The figures of one run as a table of ratios: absolute rates differ from machine to machine, ratios less."""

import os
import platform
from dataclasses import dataclass

from ingest_project_tests.benchmarks.measured import STAGES, Measured

UPSERT = "core_items"
_HEAD = (
    "| rows | run | upsert, rows/s | of the floor | all, rows/s | of the floor | client CPU | peak MB | upsert's WAL |",
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


@dataclass(frozen=True)
class Figures:
    """One size: the floor and what was measured, by the kind of run."""

    rows: int
    floor: float
    runs: dict[str, Measured]


def table(figures: list[Figures]) -> str:
    """The figures as markdown."""
    lines = list(_HEAD)
    for one in figures:
        lines.append(f"| {one.rows:,} | floor: plain COPY | {one.floor:,.0f} | 1.00 | | | | | |")
        lines += [_line(one, kind, run) for kind, run in one.runs.items()]
    return "\n".join(lines)


def _line(one: Figures, kind: str, run: Measured) -> str:
    valid = run.counts["valid"]
    upsert, whole = valid / run.seconds[UPSERT], one.rows / run.total
    return (
        f"| {one.rows:,} | {kind} | {upsert:,.0f} | {upsert / one.floor:.2f} | {whole:,.0f} | "
        f"{whole / one.floor:.2f} | {run.cpu_seconds:.1f} s | {run.peak_mb:,.0f} | {_size(run.wal[UPSERT])} |"
    )


def stages(figures: list[Figures]) -> str:
    """Seconds per stage as markdown."""
    lines = [f"| rows | run | {' | '.join(STAGES)} |", f"| ---: | --- |{' ---: |' * len(STAGES)}"]
    for one in figures:
        for kind, run in one.runs.items():
            seconds = " | ".join(f"{run.seconds[stage]:.2f} s" for stage in STAGES)
            lines.append(f"| {one.rows:,} | {kind} | {seconds} |")
    return "\n".join(lines)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def machine(server: str) -> str:
    """Where it ran."""
    return f"Python {platform.python_version()}, PostgreSQL {server}, {os.cpu_count()} cores, {platform.machine()}."
