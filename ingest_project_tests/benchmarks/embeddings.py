"""Embeddings: the ledger alone, and the whole way against a server without latency beside other tools.

    python -m ingest_project_tests.benchmarks embeddings [--rows N] [--claims N] [--way N] [--no-peers] [--results FILE]

The ledger: requests derived and compared; claimed and acknowledged in batches of 500 with vectors of 8 numbers, by one
and four processes, and again while a transaction elsewhere holds vacuum back; models switched. The whole way: a worker
against a process that answers /v1/embeddings at once with 384 numbers a text, as an OpenAI server does; and one that
takes ten calls a second, where the least time is what its limit allows. Peers have the same texts in the same server,
the same endpoint and the same batches; each is installed from PyPI into an environment of its own.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ingest_project.embeddings.models import Model, ModelSpec, add_model
from ingest_project.embeddings.providers.lexical import Lexical
from ingest_project.embeddings.providers.openai_api import URL_VARIABLE, OpenAIApi
from ingest_project.embeddings.queue import Limits
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.embeddings.worker import EmbedOutcome, run_worker
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.benchmarks.embedding_peers import PEERS, PeerDrain, peer_drained
from ingest_project_tests.benchmarks.ledgers import (
    BATCH,
    Figure,
    acknowledged,
    all_pending,
    derived,
    small_model,
    switched,
)
from ingest_project_tests.benchmarks.places import CACHE, at_home, keep
from ingest_project_tests.benchmarks.report import machine
from ingest_project_tests.embeddings.serving import serving_process

WIDE = 384
CALLS_A_SECOND = 10


def main(words: list[str] | None = None) -> None:
    """Measure, print, and keep the results where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m ingest_project_tests.benchmarks embeddings")
    parser.add_argument("--rows", type=int, default=1_000_000, help="items whose requests are derived")
    parser.add_argument("--claims", type=int, default=200_000, help="requests that are claimed and acknowledged")
    parser.add_argument("--way", type=int, default=50_000, help="items embedded the whole way")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where environments of peers are kept")
    parser.add_argument("--results", type=Path, help="also keep the tables in this file")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-", ignore_cleanup_errors=True) as folder:
        with at_home(Path(folder)), session() as connection:
            server = str(connection.info.parameter_status("server_version"))
            ledger = ledger_figures(connection, chosen.rows)
        with at_home(Path(folder)), session() as connection:
            ledger += claim_figures(connection, min(chosen.claims, chosen.rows))
        with at_home(Path(folder)), session() as connection:
            way = way_figures(connection, min(chosen.way, chosen.rows))
            peers = [] if chosen.no_peers else peer_figures(connection, way[0].items, chosen.cache)
    text = f"# Embeddings\n\n{machine(server)}\n\n{of_ledger(ledger)}\n\n{of_way(way)}\n{of_peers(way[0], peers)}"
    print(text)
    if chosen.results:
        keep(chosen.results, text)


def ledger_figures(connection: Connection, rows: int) -> list[Figure]:
    """Requests derived and compared, and models switched."""
    print(f"ledger of {rows:,} …", file=sys.stderr)
    figures = list(derived(connection, rows))
    return [*figures, *switched(connection, small_model(connection), rows)]


def claim_figures(connection: Connection, items: int) -> list[Figure]:
    """Requests claimed and acknowledged, with and without vacuum."""
    print(f"claims of {items:,} …", file=sys.stderr)
    list(derived(connection, items))
    return list(acknowledged(connection, small_model(connection), items))


def way_figures(connection: Connection, items: int) -> list[Figure]:
    """Items embedded by one worker, the whole way; the first is what peers are compared with."""
    print(f"the whole way, {items:,} …", file=sys.stderr)
    list(derived(connection, items))
    model, _ = add_model(connection, ModelSpec("openai", "scripted", WIDE))
    reconcile(connection, model=model)
    return list(_ways(connection, model, items))


def _ways(connection: Connection, model: Model, items: int) -> Iterator[Figure]:
    asked = OpenAIApi
    with serving_process(WIDE) as url:
        os.environ[URL_VARIABLE] = url
        yield _drained(connection, model, asked("scripted", WIDE), "endpoint without latency", items)
    all_pending(connection, model)
    yield _drained(connection, model, Lexical("lexical-hashing", WIDE), "built-in lexical model", items)
    all_pending(connection, model)
    with serving_process(WIDE, CALLS_A_SECOND) as url:
        os.environ[URL_VARIABLE] = url
        # The endpoint counts by the second of the clock: the first calls of all pass at once.
        least = (-(-items // BATCH) - 1) // CALLS_A_SECOND
        yield _drained(connection, model, asked("scripted", WIDE), f"{CALLS_A_SECOND} calls a second", items)
        yield Figure("… the least that this limit allows", items, max(float(least), 0.001))


def _drained(connection: Connection, model: Model, provider: OpenAIApi | Lexical, what: str, items: int) -> Figure:
    connection.execute("checkpoint")
    outcome: EmbedOutcome = run_worker(model_id=model.model_id, provider=provider, limits=Limits(batch_size=BATCH))
    assert outcome.done == items, outcome
    return Figure(what, items, outcome.seconds)


def peer_figures(connection: Connection, items: int, cache: Path) -> list[PeerDrain]:
    """Other tools on the same texts and the same endpoint."""
    with serving_process(WIDE) as url:
        return [peer_drained(peer, connection, items, url, cache) for peer in PEERS]


def of_ledger(figures: list[Figure]) -> str:
    """The ledger's figures as markdown; claims beside those of one process with nothing in the way."""
    base = next(one for one in figures if one.what.startswith("claim"))
    lines = ["| ledger | items | seconds | items/s | of claim + acknowledge |", "| --- | ---: | ---: | ---: | ---: |"]
    for one in figures:
        ratio = f"{one.rate / base.rate:.2f}" if "process" in one.what else ""
        lines.append(f"| {one.what} | {one.items:,} | {one.seconds:.3f} | {one.rate:,.0f} | {ratio} |")
    return "\n".join(lines)


def of_way(figures: list[Figure]) -> str:
    """The whole way as markdown."""
    lines = ["| one worker, the whole way | items | seconds | items/s |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {one.what} | {one.items:,} | {one.seconds:.2f} | {one.rate:,.0f} |" for one in figures]
    return "\n".join(lines)


def of_peers(ours: Figure, peers: list[PeerDrain]) -> str:
    """Peers as markdown, and how many times as fast we are; nothing where none was asked for."""
    if not peers:
        return ""
    lines = ["", "| peer | items | items/s | ours is |", "| --- | ---: | ---: | ---: |"]
    for one in peers:
        told = f"{one.items:,} | {one.rate:,.0f} | {ours.rate / one.rate:.1f} ×" if one.seconds else one.skipped
        lines.append(f"| {one.peer.name} | {told} |")
    return "\n".join([*lines, "", *(f"- {one.peer.name}: {one.peer.remark}" for one in peers), ""])
