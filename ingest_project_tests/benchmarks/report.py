"""The figures of one run as a table of ratios: absolute rates differ from machine to machine, ratios less."""

import os
import platform
from dataclasses import dataclass, field

from ingest_project_tests.benchmarks.measured import STAGES, Measured
from ingest_project_tests.benchmarks.peers import PeerFigures, PeerRun

UPSERT = "core_items"
_HEAD = (
    "| rows | run | upsert, rows/s | of the floor | all, rows/s | of the floor | client CPU | peak MB | upsert's WAL "
    "| dead tuples |",
    "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
_PEER_HEAD = (
    "| peer | rows | run | rows/s | our upsert is | all of ours is | client CPU | peak MB | WAL | dead tuples |",
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


@dataclass(frozen=True)
class Figures:
    """One size: the floor by COPY's format, what was measured by the kind of run, and the peers."""

    rows: int
    floors: dict[str, float]
    runs: dict[str, Measured]
    peers: list[PeerFigures] = field(default_factory=list)

    @property
    def floor(self) -> float:
        """In the format that this project uses."""
        return self.floors["binary"]

    def upsert_rate(self, kind: str) -> float:
        return self.runs[kind].counts["valid"] / self.runs[kind].seconds[UPSERT]

    def whole_rate(self, kind: str) -> float:
        run = self.runs[kind]
        return (run.counts["valid"] + run.counts["rejected"]) / run.total


def table(figures: list[Figures]) -> str:
    """The figures as markdown."""
    lines = list(_HEAD)
    for one in figures:
        for form, rate in one.floors.items():
            name = f"floor: plain COPY, {form}"
            lines.append(f"| {one.rows:,} | {name} | {rate:,.0f} | {rate / one.floor:.2f} | | | | | | |")
        lines += [_line(one, kind, run) for kind, run in one.runs.items()]
    return "\n".join(lines)


def _line(one: Figures, kind: str, run: Measured) -> str:
    upsert, whole = one.upsert_rate(kind), one.whole_rate(kind)
    return (
        f"| {one.rows:,} | {kind} | {upsert:,.0f} | {upsert / one.floor:.2f} | {whole:,.0f} | "
        f"{whole / one.floor:.2f} | {run.cpu_seconds:.1f} s | {run.peak_mb:,.0f} | {_size(run.wal[UPSERT])} | "
        f"{run.dead_tuples:,} |"
    )


def stages(figures: list[Figures]) -> str:
    """Seconds per stage as markdown, and of them those of the client's CPU."""
    lines = [f"| rows | run | {' | '.join(STAGES)} |", f"| ---: | --- |{' ---: |' * len(STAGES)}"]
    for one in figures:
        for kind, run in one.runs.items():
            seconds = " | ".join(f"{run.seconds[stage]:.2f} s, CPU {run.cpu[stage]:.2f} s" for stage in STAGES)
            lines.append(f"| {one.rows:,} | {kind} | {seconds} |")
    return "\n".join(lines)


def beside(figures: list[Figures]) -> str:
    """Peers and how many times as fast we are, as markdown; nothing where none was asked for."""
    lines: list[str] = []
    for one in figures:
        for peer in one.peers:
            lines += [_peer_line(one, peer, kind, run) for kind, run in peer.runs.items()]
            if peer.skipped:
                lines.append(f"| {peer.peer.name} | {one.rows:,} | skipped: {peer.skipped} | | | | | | | |")
    remarks = {peer.peer.name: peer.peer.remark for one in figures for peer in one.peers}
    notes = "".join(f"\n- {name}: {remark}" for name, remark in remarks.items())
    return "\n".join(["", *_PEER_HEAD, *lines, notes, ""]) if lines else ""


def _peer_line(one: Figures, peer: PeerFigures, kind: str, run: PeerRun) -> str:
    rate = run.rows / run.seconds
    return (
        f"| {peer.peer.name} | {run.rows:,} | {kind} | {rate:,.0f} | {one.upsert_rate(kind) / rate:.2f} × | "
        f"{one.whole_rate(kind) / rate:.2f} × | {run.cpu_seconds:.1f} s | {run.peak_mb:,.0f} | {_size(run.wal)} | "
        f"{run.dead_tuples:,} |"
    )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def machine(server: str) -> str:
    """Where it ran."""
    return f"Python {platform.python_version()}, PostgreSQL {server}, {os.cpu_count()} cores, {platform.machine()}."
