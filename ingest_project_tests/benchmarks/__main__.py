"""The benchmark: this project beside the floor and beside other tools, in one run, on the same rows and server.

    python -m ingest_project_tests.benchmarks [--rows N …] [--peers NAME … | --no-peers] [--results FILE]
    python -m ingest_project_tests.benchmarks normalize …
    python -m ingest_project_tests.benchmarks embeddings …

Three runs: first, unchanged, and with 1 % of the rows changed and 0.5 % new. The floor is a plain COPY of the same
rows, sorted, into a table with the same columns, checks and indexes. Peers load the valid rows as this project
normalized them; each is installed from PyPI into an environment of its own, and left out, with the reason, where
that fails.

Rows are the demo's: real places, multiplied, one in a hundred dirty, 17 columns. The server is an embedded one of the
benchmark's own, with Postgres' own durability, or that of INGEST_TEST_DATABASE_URL. Before each timed step the table
is vacuumed and a checkpoint is made, so that none pays for another.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ingest_project.branches import registry
from ingest_project.branches.spec import load_spec
from ingest_project.postgres.connection import Connection, session
from ingest_project.sample import SPEC
from ingest_project.settings import settings
from ingest_project_tests.benchmarks import embeddings, normalize
from ingest_project_tests.benchmarks.floor import FORMATS, floor_rate
from ingest_project_tests.benchmarks.inputs import State, first_rows, state_of_items, write_states
from ingest_project_tests.benchmarks.measured import Measured
from ingest_project_tests.benchmarks.peers import PEERS, Peer, PeerFigures, run_peer
from ingest_project_tests.benchmarks.places import CACHE, at_home, keep
from ingest_project_tests.benchmarks.report import Figures, beside, machine, stages, table

RUNS = {"first": "first", "unchanged": "first", "changed": "changed"}  # kind of run: state of the source


def main() -> None:
    """Measure, print, and keep the results where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m ingest_project_tests.benchmarks")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in PEERS], help="only these")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where environments of peers are kept")
    parser.add_argument("--results", type=Path, help="also keep the tables in this file")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ingest-benchmark-", ignore_cleanup_errors=True) as folder,
        at_home(Path(folder)),
    ):
        peers = [peer for peer in PEERS if not chosen.no_peers and (not chosen.peers or peer.name in chosen.peers)]
        figures = [one_size(Path(folder), rows, peers, chosen.cache) for rows in chosen.rows]
        with session() as connection:
            server = str(connection.info.parameter_status("server_version"))
    text = f"# Benchmark\n\n{machine(server)}\n\n{table(figures)}\n\n{stages(figures)}\n{beside(figures)}"
    print(text)
    if chosen.results:
        keep(chosen.results, text)


def one_size(folder: Path, rows: int, peers: list[Peer], cache: Path) -> Figures:
    """The three runs of a branch of so many rows, then the floor and the peers with what came out of them."""
    print(f"{rows:,} rows …", file=sys.stderr)
    sources, name = write_states(folder, rows), f"rows-{rows}"
    location = folder / "source" / f"{rows}.csv"
    location.parent.mkdir(exist_ok=True)
    spec = load_spec(SPEC).model_copy(update={"name": name, "source": name, "location": str(location)})
    runs: dict[str, Measured] = {}
    states: dict[str, State] = {}
    with session() as connection:
        connection.execute("truncate core.items, core.item_versions, core.embedding_requests")
        registry.apply_branch(connection, spec)
        for kind, state in RUNS.items():
            location.unlink(missing_ok=True)
            location.hardlink_to(sources[state])
            runs[kind] = settled_run(name, kind)
            if peers and state not in states:
                states[state] = state_of_items(connection, folder, f"{state}_{rows}")
        floors = {form: floor_rate(connection, form) for form in FORMATS}
        beside = [against(peer, connection, folder, rows, states, cache) for peer in peers]
        connection.execute("drop schema if exists peer_source cascade")
    return Figures(rows, floors, runs, beside)


def against(
    peer: Peer, connection: Connection, folder: Path, rows: int, states: dict[str, State], cache: Path
) -> PeerFigures:
    """A peer's three runs; one that is slow gets fewer rows."""
    if rows > peer.most_rows:
        few = {name: first_rows(connection, folder, state, peer.most_rows) for name, state in states.items()}
        states = few
    kinds = {kind: states[state] for kind, state in RUNS.items()}
    return run_peer(peer, kinds, connection, settings().database_url.get_secret_value(), cache)


def settled_run(name: str, kind: str) -> Measured:
    """One run in a process of its own, nothing left over from before."""
    with session() as connection:
        connection.execute("vacuum (analyze) core.items")
        connection.execute("checkpoint")
    command = [sys.executable, "-m", "ingest_project_tests.benchmarks.measured", name, kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout))


# Benchmarks of one stage alone, by the first word of the command.
OF_A_STAGE = {"normalize": normalize.main, "embeddings": embeddings.main}

if __name__ == "__main__":
    alone = OF_A_STAGE.get(sys.argv[1]) if len(sys.argv) > 1 else None
    alone(sys.argv[2:]) if alone else main()
