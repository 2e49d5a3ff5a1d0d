"""The benchmark runs and says what it measured; its figures are nobody's assertion: machines are noisy."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ingest_project.normalize.part import normalize_part
from ingest_project.postgres.connection import session
from ingest_project_tests.benchmarks import embedding_peers, listings
from ingest_project_tests.benchmarks.embedding_peers import PeerDrain
from ingest_project_tests.benchmarks.embeddings import of_peers
from ingest_project_tests.benchmarks.inputs import State, write_states
from ingest_project_tests.benchmarks.ledgers import Figure
from ingest_project_tests.benchmarks.peers import Peer, run_peer
from ingest_project_tests.benchmarks.report import Figures, beside
from ingest_project_tests.benchmarks.row_by_row import normalize_rows
from ingest_project_tests.house.test_architecture import REPOSITORY


def test_the_benchmark_prints_ratios_to_the_floor_of_the_same_run(superuser: None, tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ingest_project_tests.benchmarks",
            "--rows",
            "2000",
            "--no-peers",
            "--results",
            str(results),
        ],
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
    runs = ["first", "unchanged", "changed"]
    assert [row[1] for row in rows] == ["floor: plain COPY, binary", "floor: plain COPY, csv", *runs, *runs]
    for row in rows[2:5]:
        assert all(re.fullmatch(r"[0-9,.]+( s| MB| kB)?", cell) for cell in row[2:]), row
    for row in rows[5:]:
        assert all(re.fullmatch(r"[0-9.]+ s, CPU [0-9.]+ s", cell) for cell in row[2:]), row


def test_a_peer_that_cannot_be_installed_is_left_out_with_the_reason(
    superuser: None, server: str, tmp_path: Path
) -> None:
    peer = Peer("nobody", (str(tmp_path / "no such package"),), lambda job: [])
    with session(server) as connection:
        figures = run_peer(peer, {}, connection, server, tmp_path)
    assert figures.skipped.startswith("cannot be installed: ")
    one = Figures(10, {"binary": 1.0}, {}, [figures])
    assert f"| nobody | 10 | skipped: {figures.skipped} |" in beside([one])


def test_a_peer_is_measured_by_itself_and_one_that_fails_is_left_out(
    superuser: None, fresh_database: str, tmp_path: Path
) -> None:
    places, state = tmp_path / "places", State("t", 10, tmp_path, tmp_path, tmp_path)
    script = "import sys; held = b'x' * 50_000_000; print('seconds 2.5'); sys.exit('gone wrong' if {} else None)"

    def peer(fails: bool) -> Peer:
        return Peer("python", ("stand in",), lambda job: [sys.executable, "-c", script.format(fails)])

    (places / "stand-in").mkdir(parents=True)
    (places / "stand-in" / "ready").touch()
    with session() as connection:
        run = run_peer(peer(fails=False), {"first": state}, connection, fresh_database, places).runs["first"]
        failed = run_peer(peer(fails=True), {"first": state}, connection, fresh_database, places)
    assert (run.rows, run.seconds) == (10, 2.5)
    assert 50 < run.peak_mb < 150, "its own, not that of who started it"
    assert failed.skipped == "failed: gone wrong"


def test_the_changed_state_has_changed_and_new_rows_and_all_others_as_they_were(tmp_path: Path) -> None:
    states = write_states(tmp_path, 2_000)
    first, changed = (path.read_text(encoding="utf-8").splitlines() for path in (states["first"], states["changed"]))
    assert len(changed) - len(first) == 10
    different = [at for at, (old, new) in enumerate(zip(first, changed, strict=False)) if old != new]
    assert 18 <= len(different) <= 20


def test_normalization_is_measured_beside_the_row_by_row_model(tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    command = [sys.executable, "-m", "ingest_project_tests.benchmarks", "normalize", "--rows", "300"]
    command += ["--results", str(results)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    text = results.read_text(encoding="utf-8")
    assert text.strip() in done.stdout
    ratios = re.findall(r"^\| (?:row by row|this project)[^|]*\| [0-9,]+ \| ([0-9.]+) \|$", text, re.MULTILINE)
    assert len(ratios) == 2 and ratios[0] == "1.0"


def test_embeddings_are_measured_from_the_ledger_to_the_endpoint(superuser: None, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    results = tmp_path / "results.md"
    results.write_text("# Benchmark\n\nas it was\n\n# Embeddings\n\nearlier\n", encoding="utf-8")
    command = [sys.executable, "-m", "ingest_project_tests.benchmarks", "embeddings", "--rows", "600", "--way", "600"]
    command += ["--no-peers", "--results", str(results)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    text = results.read_text(encoding="utf-8")
    kept = text.removeprefix("# Benchmark\n\nas it was\n\n")
    assert kept.strip() in done.stdout
    figures = dict(re.findall(r"^\| ([^|]+) \| 600 \| [0-9.]+ \| ([0-9,]+) \|", kept, re.MULTILINE))
    assert {"derive: 1 % changed", "vacuum held back, 4 processes", "endpoint without latency"} <= set(figures)


def test_a_peer_that_does_not_run_says_why_beside_those_that_do() -> None:
    ours = Figure("endpoint without latency", 100, 1.0)
    peer = embedding_peers.PEERS[0]
    told = of_peers(ours, [PeerDrain(peer, skipped="failed: no server"), PeerDrain(peer, items=50, seconds=2.0)])
    assert f"| {peer.name} | failed: no server |" in told
    assert f"| {peer.name} | 50 | 25 | 4.0 × |" in told


def test_the_row_by_row_model_says_what_the_stage_says() -> None:
    page, branch = listings.listings(200), listings.spec()
    items, rejects = normalize_rows(page, branch)
    assert rejects == []
    made = normalize_part(page, branch).items.to_pylist()
    assert [{name: item[name] for name in row} for item, row in zip(made, items, strict=True)] == items
