"""Where benchmarks run: a database of their own, environments of peers, and the file that keeps what was measured."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ingest_project.postgres import embedded
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import migrate
from ingest_project.settings import settings

CACHE = Path.home() / ".cache" / "ingest-benchmark"  # environments of peers
DATABASE = "ingest_benchmark"


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


def keep(results: Path, text: str) -> None:
    """Put a benchmark's text into the file, in place of what it said before; the other benchmarks' stay."""
    heading = text.partition("\n")[0]
    known = results.read_text(encoding="utf-8") if results.exists() else ""
    sections = [one.strip("\n") for one in re.split(r"^(?=# )", known, flags=re.MULTILINE) if one.strip()]
    at = next((at for at, one in enumerate(sections) if one.partition("\n")[0] == heading), len(sections))
    sections[at : at + 1] = [text.strip("\n")]
    results.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
