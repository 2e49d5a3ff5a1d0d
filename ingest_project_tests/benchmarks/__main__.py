"""The benchmark: upsert stage and whole way, first and unchanged, beside the floor of the same run.

    python -m ingest_project_tests.benchmarks [--rows N …] [--results FILE]
    python -m ingest_project_tests.benchmarks normalize …

Rows are the demo's: real places, multiplied, one in a hundred dirty, 17 columns. The server is an embedded one of the
benchmark's own, with Postgres' own durability, or that of INGEST_TEST_DATABASE_URL. Before each timed step the table
is vacuumed and a checkpoint is made, so that none pays for another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ingest_project.branches import registry
from ingest_project.branches.spec import load_spec
from ingest_project.postgres import embedded
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import migrate
from ingest_project.sample import SPEC, write_demo
from ingest_project.settings import settings
from ingest_project_tests.benchmarks import normalize
from ingest_project_tests.benchmarks.floor import floor_rate
from ingest_project_tests.benchmarks.measured import Measured
from ingest_project_tests.benchmarks.report import Figures, machine, stages, table

RUNS = ("first", "unchanged")
DATABASE = "ingest_benchmark"


def main() -> None:
    """Measure, print, and keep the results where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m ingest_project_tests.benchmarks")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--results", type=Path, help="also write the tables to this file")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ingest-benchmark-", ignore_cleanup_errors=True) as folder,
        at_home(Path(folder)),
    ):
        figures = [one_size(Path(folder), rows) for rows in chosen.rows]
        with session() as connection:
            server = str(connection.info.parameter_status("server_version"))
    text = f"# Benchmark\n\n{machine(server)}\n\n{table(figures)}\n\n{stages(figures)}\n"
    print(text)
    if chosen.results:
        chosen.results.write_text(text, encoding="utf-8")


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """Settings of the benchmark's own, for this process and its children."""
    os.environ["INGEST_HOME"] = str(folder)
    server = os.environ.get("INGEST_TEST_DATABASE_URL") or embedded.ensure_running(folder)
    with session(server) as connection:
        connection.execute(f"drop database if exists {DATABASE}".encode())
        connection.execute(f"create database {DATABASE}".encode())
    os.environ["INGEST_DATABASE_URL"] = urlunsplit(urlsplit(server)._replace(path=f"/{DATABASE}"))
    settings.cache_clear()
    migrate()
    try:
        yield
    finally:
        with session(server) as connection:
            connection.execute(f"drop database {DATABASE} with (force)".encode())


def one_size(folder: Path, rows: int) -> Figures:
    """First and unchanged run of a branch of so many rows, then the floor with what came out of it."""
    print(f"{rows:,} rows …", file=sys.stderr)
    source = folder / f"{rows}.csv"
    write_demo(source, rows)
    name = f"rows-{rows}"
    spec = load_spec(SPEC).model_copy(update={"name": name, "source": name, "location": str(source)})
    with session() as connection:
        connection.execute("truncate core.items, core.item_versions, core.embedding_requests")
        registry.apply_branch(connection, spec)
        runs = {kind: settled_run(name, kind) for kind in RUNS}
        floor = floor_rate(connection, runs["first"].counts["valid"])
    return Figures(rows, floor, runs)


def settled_run(name: str, kind: str) -> Measured:
    """One run in a process of its own, nothing left over from before."""
    with session() as connection:
        connection.execute("vacuum analyze core.items")
        connection.execute("checkpoint")
    command = [sys.executable, "-m", "ingest_project_tests.benchmarks.measured", name, kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout))


# Benchmarks of one stage alone, by the first word of the command.
OF_A_STAGE = {"normalize": normalize.main}

if __name__ == "__main__":
    alone = OF_A_STAGE.get(sys.argv[1]) if len(sys.argv) > 1 else None
    alone(sys.argv[2:]) if alone else main()
