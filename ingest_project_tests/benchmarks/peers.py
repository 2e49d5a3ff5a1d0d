"""Other tools on the same rows and server, each in an environment of its own, made under a cache folder."""

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from psycopg import sql

from ingest_project.postgres.connection import Connection
from ingest_project_tests.benchmarks.inputs import COLUMNS, NUMBERS, TIME, State
from ingest_project_tests.benchmarks.measured import dead_tuples, wal_position

_QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "INGESTR_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
_LONGEST = 1800  # seconds of one run


@dataclass(frozen=True)
class Job:
    """One run of a peer: its environment, what it loads, the schema that it writes, a folder for its state."""

    bin: Path
    state: State
    url: str
    schema: str
    folder: Path


@dataclass(frozen=True)
class Peer:
    """A tool: what is installed, how it is called, and how many rows it is given at most."""

    name: str
    requirements: tuple[str, ...]
    command: Callable[[Job], list[str]]
    most_rows: int = 1_000_000
    remark: str = ""


@dataclass(frozen=True)
class PeerRun:
    """What one run took; CPU seconds are of the client."""

    rows: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    wal: int
    dead_tuples: int


@dataclass
class PeerFigures:
    """A peer's runs by kind, or why there are none."""

    peer: Peer
    runs: dict[str, PeerRun] = field(default_factory=dict)
    skipped: str = ""


class Unusable(Exception):
    """A peer that cannot be installed or does not run here."""


def _dlt(strategy: str) -> Callable[[Job], list[str]]:
    script = str(Path(__file__).with_name("peer_dlt.py"))
    return lambda job: [
        *(
            str(job.bin / "python"),
            script,
            str(job.state.parquet),
            _with_password(job.url),
            strategy,
            job.schema,
            str(job.folder),
        ),
    ]


def _ingestr(job: Job) -> list[str]:
    return [
        *(str(job.bin / "ingestr"), "ingest", "--yes", "--progress", "log", "--pipelines-dir", str(job.folder)),
        *("--source-uri", job.url, "--source-table", job.state.table, "--dest-uri", job.url),
        *("--dest-table", f"{job.schema}.items", "--incremental-strategy", "merge", "--primary-key", "external_id"),
    ]


def _sling(job: Job) -> list[str]:
    return [
        *(str(job.bin / "sling"), "run", "--src-stream", f"file://{job.state.csv}", "--tgt-conn", job.url),
        *("--tgt-object", f"{job.schema}.items", "--mode", "incremental", "--primary-key", "external_id"),
    ]


def _singer(job: Job) -> list[str]:
    config = job.folder / "target.json"
    url = urlunsplit(urlsplit(_with_password(job.url))._replace(scheme="postgresql+psycopg"))
    chosen = {
        "sqlalchemy_url": url,
        "default_target_schema": job.schema,
        "add_record_metadata": False,
        "activate_version": False,
    }
    config.write_text(json.dumps({**chosen, "use_copy": True}), encoding="utf-8")
    kinds = {name: {"type": ["number" if name in NUMBERS else "string", "null"]} for name in COLUMNS}
    kinds[TIME] |= {"format": "date-time"}
    schema = {"type": "object", "properties": kinds}
    head = {"type": "SCHEMA", "stream": "items", "key_properties": ["external_id"], "schema": schema}
    messages = job.folder / "messages"
    messages.write_text(json.dumps(head) + "\n" + job.state.singer.read_text(encoding="utf-8"), encoding="utf-8")
    return [str(job.bin / "target-postgres"), "--config", str(config), "--input", str(messages)]


PEERS = (
    Peer("dlt upsert", ("dlt[postgres,parquet]>=1.31,<2",), _dlt("upsert"), remark="from Parquet"),
    Peer("dlt delete-insert", ("dlt[postgres,parquet]>=1.31,<2",), _dlt("delete-insert"), remark="from Parquet"),
    Peer("ingestr 0.15.9", ("ingestr==0.15.9",), _ingestr, remark="merge, from a table of the same server"),
    Peer("sling 1.2.24", ("sling==1.2.24",), _sling, remark="incremental, from CSV; its table has no key index"),
    Peer("target-postgres", ("meltanolabs-target-postgres",), _singer, 100_000, "Singer messages, COPY"),
)


def run_peer(peer: Peer, states: dict[str, State], connection: Connection, url: str, places: Path) -> PeerFigures:
    """All kinds of runs of one peer; where it cannot, the reason. Its tables are dropped afterwards."""
    figures, schema = PeerFigures(peer), "peer_" + "".join(c if c.isalnum() else "_" for c in peer.name)
    print(f"  {peer.name} …", file=sys.stderr)
    try:
        binaries, folder = installed(peer.requirements, places), places / f"state-{os.getpid()}-{time.time_ns()}"
        folder.mkdir(parents=True)
        for kind, state in states.items():
            job = Job(binaries, state, url, schema, folder)
            figures.runs[kind] = _measured(peer, job, connection)
    except (Unusable, OSError) as error:
        figures.skipped = str(error)
    finally:
        for name in (schema, f"{schema}_staging"):
            connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))
    return figures


def installed(requirements: tuple[str, ...], places: Path) -> Path:
    """The folder of a peer's commands; makes its environment where there is none. Raises Unusable."""
    place = places / "".join(c if c.isalnum() else "-" for c in requirements[0])
    ready = place / "ready"
    if not ready.exists():
        venv.create(place, with_pip=True, clear=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unusable(f"cannot be installed: {_last(done.stderr)}")
        ready.touch()
    return place / "bin"


def _measured(peer: Peer, job: Job, connection: Connection) -> PeerRun:
    connection.execute("checkpoint")
    wal, began = wal_position(connection), time.perf_counter()
    told, used = run_apart(peer.command(job), job.folder)
    seconds = time.perf_counter() - began
    inside = [line.split()[1] for line in told.splitlines() if line.startswith("seconds ")]
    return PeerRun(
        rows=job.state.rows,
        seconds=float(inside[0]) if inside else seconds,
        cpu_seconds=used["cpu_seconds"],
        peak_mb=used["peak_mb"],
        wal=wal_position(connection) - wal,
        dead_tuples=dead_tuples(connection, job.schema),
    )


# A process inherits the peak memory of the one that forks it: a small one stands between.
_LAUNCHER = """
import json, os, sys
child = os.fork()
if not child:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(child, 0)
with open(sys.argv[1], "w") as out:
    json.dump({"cpu_seconds": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}, out)
sys.exit(1 if status else 0)
"""


def run_apart(command: list[str], folder: Path) -> tuple[str, dict[str, float]]:
    """What a command printed, and the CPU seconds and peak memory that it took. Raises Unusable."""
    usage = folder / "usage.json"
    launched = [sys.executable, "-S", "-c", _LAUNCHER, str(usage), *command]
    try:
        done = subprocess.run(
            launched,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **_QUIET},
            cwd=folder,
            timeout=_LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unusable(f"not done after {_LONGEST:,} s") from None
    if done.returncode:
        raise Unusable(f"failed: {_last(done.stdout)}")
    return done.stdout, json.loads(usage.read_text(encoding="utf-8"))


def _with_password(url: str) -> str:
    # Some want one, and a host, before they look further; a server that asks for none does not mind.
    parts = urlsplit(url)
    if parts.password and parts.hostname:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or 'postgres'}:none@localhost"))


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines or ["no reason given"])[-1][:200]
