"""Other tools that embed what waits in Postgres, each in an environment and a database of its own."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project_tests.benchmarks.peers import Unusable, installed, run_apart

_DATABASE = "ingest_benchmark_peer"
BATCH, CALLS, DIMS = 500, 4, 384
_TEXTS = """select item_id, concat_ws(e'\\n', name, category, description, locality, country_code) from core.items
             order by item_id limit %(items)s"""
# The worker's own extra brings PyTorch for documents, 6 GB: these are the packages of it that texts need.
_PGAI = (
    *("pgai==0.12.1", "openai<2", "ijson", "tiktoken<1", "pgvector<1", "filetype==1.2.0", "langchain-text-splitters<1"),
    *("tokenizers", "numpy"),
)
_PROCRASTINATE = ("procrastinate>=3,<4", "psycopg[binary,pool]", "openai", "numpy")


@dataclass(frozen=True)
class Peer:
    """A tool: its script, items per job or batch and how many of them at a time, and how many items it is given."""

    name: str
    requirements: tuple[str, ...]
    script: str
    per_job: int = BATCH
    calls: int = CALLS
    most_items: int = 1_000_000
    remark: str = ""


@dataclass(frozen=True)
class PeerDrain:
    """How many items a peer embedded in how many seconds, or why it did not."""

    peer: Peer
    items: int = 0
    seconds: float = 0.0
    skipped: str = ""

    @property
    def rate(self) -> float:
        return self.items / self.seconds


PEERS = (
    Peer(
        "pgai 0.12.1, one at a time", _PGAI, "peer_pgai.py", calls=1, remark="its vectorizer, as it is set by default"
    ),
    Peer("pgai 0.12.1, four at a time", _PGAI, "peer_pgai.py", remark="four tasks of one worker"),
    Peer(
        *("procrastinate, a job per 500", _PROCRASTINATE, "peer_procrastinate.py"),
        remark="batches are made by whoever defers: no item has a state, an error or an attempt of its own",
    ),
    Peer(
        *("procrastinate, a job per item", _PROCRASTINATE, "peer_procrastinate.py", 1),
        most_items=2_000,
        remark="as fine as our ledger; a call per item",
    ),
)


def peer_drained(peer: Peer, connection: Connection, items: int, endpoint: str, places: Path) -> PeerDrain:
    """One peer embeds the first items of core.items; where it cannot, the reason."""
    print(f"  {peer.name} …", file=sys.stderr)
    items = min(items, peer.most_items)
    try:
        place = installed(peer.requirements, places)
        with _database(connection, items) as url, tempfile.TemporaryDirectory() as folder:
            script = Path(__file__).with_name(peer.script)
            numbers = map(str, (items, peer.per_job, peer.calls, DIMS))
            told, _ = run_apart([str(place / "python"), str(script), url, endpoint, *numbers], Path(folder))
    except (Unusable, OSError) as error:
        return PeerDrain(peer, skipped=str(error))
    seconds = next(float(line.split()[1]) for line in told.splitlines() if line.startswith("seconds "))
    return PeerDrain(peer, items, seconds)


@contextmanager
def _database(connection: Connection, items: int) -> Iterator[str]:
    """Url of a database with the texts that our worker had, and a table for vectors."""
    url = urlunsplit(urlsplit(settings().database_url.get_secret_value())._replace(path=f"/{_DATABASE}"))
    connection.execute(f"drop database if exists {_DATABASE} with (force)".encode())
    connection.execute(f"create database {_DATABASE}".encode())
    try:
        with session(url) as theirs:
            theirs.execute("create extension if not exists vector")
            theirs.execute("create table items (item_id bigint primary key, body text not null)")
            theirs.execute("create table vectors (item_id bigint primary key, embedding vector not null)")
            texts = connection.execute(_TEXTS.encode(), {"items": items}).fetchall()
            with theirs.cursor() as cursor, cursor.copy("copy items from stdin") as copy:
                for at, (_, body) in enumerate(texts, 1):
                    copy.write_row((at, body))
            theirs.execute("vacuum (analyze) items")
            theirs.execute("checkpoint")
        yield url
    finally:
        connection.execute(f"drop database if exists {_DATABASE} with (force)".encode())
