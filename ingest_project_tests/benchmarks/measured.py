"""One ingest in a process of its own, so that its peak memory is its own; prints what it took as JSON.

python -m ingest_project_tests.benchmarks.measured BRANCH RUN_ID
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field

from ingest_project.defs.metadata import peak_memory_mb
from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest

STAGES = ("branch_snapshot", "normalized_items", "core_items", "embedding_requests")


@dataclass
class Measured:
    """Seconds, CPU seconds of the client and its workers, and WAL bytes per stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    wal: dict[str, int] = field(default_factory=dict)
    peak_mb: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    dead_tuples: int = 0

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values())


def cpu_seconds() -> float:
    """What this process and those of its children that have ended took so far, in user and system mode."""
    return sum(os.times()[:4])


def wal_position(connection: Connection) -> int:
    """Bytes of WAL that the server has written so far."""
    row = connection.execute("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
    assert row is not None
    return row[0]


def dead_tuples(connection: Connection, schema: str, table: str | None = None) -> int:
    """Row versions that nobody needs any more, in the tables of a schema, as the statistics have it."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        """select coalesce(sum(n_dead_tup), 0)::bigint from pg_stat_user_tables
            where schemaname = %s and (%s::text is null or relname = %s)""",
        (schema, table, table),
    ).fetchone()
    assert row is not None
    return row[0]


def measure(branch: str, run_id: str) -> Measured:
    """Ingest the branch and say what each stage took."""
    found = Measured()
    with session() as watching:
        began, cpu, wal = time.perf_counter(), cpu_seconds(), wal_position(watching)

        def ended(stage: str) -> None:
            nonlocal began, cpu, wal
            now, spent, written = time.perf_counter(), cpu_seconds(), wal_position(watching)
            if stage in STAGES:
                found.seconds[stage], found.cpu[stage], found.wal[stage] = now - began, spent - cpu, written - wal
            began, cpu, wal = now, spent, written

        done = ingest(branch, settings().batch_size, run_id=run_id, between=ended)
        ended(STAGES[-1])
        found.dead_tuples = dead_tuples(watching, "core", "items")
    found.peak_mb = peak_memory_mb()
    found.counts = {name: getattr(done, name) for name in ("valid", "rejected", "inserted", "updated", "unchanged")}
    return found


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], sys.argv[2]))))
