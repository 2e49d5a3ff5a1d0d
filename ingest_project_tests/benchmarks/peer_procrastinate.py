"""procrastinate, tuned: jobs deferred in bulk, an async worker, texts read and vectors stored a job at a time.

Runs in an environment of its own:

    python peer_procrastinate.py DATABASE_URL ENDPOINT ITEMS ITEMS_PER_JOB CALLS DIMS
"""

import asyncio
import base64
import sys
import time

import numpy as np
import openai
import procrastinate
import psycopg_pool

url, endpoint = sys.argv[1:3]
items, per_job, calls, dims = map(int, sys.argv[3:])
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, min_size=calls, max_size=calls + 2))
client = openai.AsyncOpenAI(base_url=endpoint, api_key="none", max_retries=0)
STORE = """insert into vectors select * from batch
            on conflict (item_id) do update set embedding = excluded.embedding"""
TEXTS = "select item_id, body from items where item_id between %s and %s"
pool = psycopg_pool.AsyncConnectionPool(url, min_size=calls, max_size=calls, open=False)


@app.task(name="embed")
async def embed(first: int, last: int) -> None:
    """One job: the texts of some items, a call, their vectors."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "select item_id, body from items where item_id between %s and %s", (first, last)
        )
        rows = await cursor.fetchall()
    answer = await client.embeddings.create(
        model="scripted", input=[body for _, body in rows], encoding_format="base64"
    )
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute("create temp table batch (item_id bigint, embedding vector) on commit drop")
        async with cursor.copy("copy batch from stdin (format binary)") as copy:
            await copy.write(encoded([item_id for item_id, _ in rows], answer.data))
        await cursor.execute(STORE)


def encoded(ids: list[int], data: list) -> bytes:
    """Rows as a binary COPY, without a loop over numbers."""
    fields = [
        ("columns", ">i2"),
        ("id_size", ">i4"),
        ("id", ">i8"),
        ("size", ">i4"),
        ("dims", ">i2"),
        ("unused", ">i2"),
    ]
    rows = np.zeros(len(ids), np.dtype([*fields, ("values", ">f4", (dims,))]))
    rows["columns"], rows["id_size"], rows["id"], rows["size"], rows["dims"] = 2, 8, ids, 4 + 4 * dims, dims
    for at, one in enumerate(data):
        given = one.embedding
        rows["values"][at] = np.frombuffer(base64.b64decode(given), "<f4") if isinstance(given, str) else given
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"


async def main() -> float:
    """Seconds in which all jobs are done; deferring them is not counted, as deriving requests is not."""
    async with app.open_async():
        await pool.open()
        await app.schema_manager.apply_schema_async()
        jobs = [{"first": at + 1, "last": min(at + per_job, items)} for at in range(0, items, per_job)]
        await embed.batch_defer_async(*jobs)
        began = time.perf_counter()
        await app.run_worker_async(concurrency=calls, wait=False, install_signal_handlers=False, listen_notify=False)
        seconds = time.perf_counter() - began
        await pool.close()
        return seconds


print("seconds", asyncio.run(main()))
