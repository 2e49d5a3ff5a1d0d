"""pgai's vectorizer worker, run once over a queue that is full. Runs in an environment of its own.

python peer_pgai.py DATABASE_URL ENDPOINT ITEMS ITEMS_PER_BATCH CALLS DIMS
"""

import asyncio
import datetime
import logging
import os
import sys
import time

os.environ["DD_TRACE_ENABLED"] = "false"
os.environ["OPENAI_API_KEY"] = "none"

import pgai
import psycopg
import structlog
from pgai.vectorizer.worker import Worker

url, endpoint = sys.argv[1:3]
items, per_batch, calls, dims = map(int, sys.argv[3:])
_VECTORIZER = """
select ai.create_vectorizer('items'::regclass,
  loading => ai.loading_column('body'), chunking => ai.chunking_none(), scheduling => ai.scheduling_none(),
  embedding => ai.embedding_openai('scripted', %s, base_url => %s), indexing => ai.indexing_none(),
  processing => ai.processing_default(batch_size => %s, concurrency => %s),
  destination => ai.destination_table('item_vectors'))"""

pgai.install(url)
with psycopg.connect(url, autocommit=True) as connection:
    connection.execute(_VECTORIZER, (dims, endpoint, per_batch, calls))
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
began = time.perf_counter()
error = asyncio.run(Worker(url, datetime.timedelta(seconds=1), once=True, concurrency=calls).run())
seconds = time.perf_counter() - began  # without the time that imports take
if error:
    sys.exit(str(error))
with psycopg.connect(url) as connection:
    (stored,) = connection.execute("select count(*) from item_vectors_store").fetchone()
if stored != items:
    sys.exit(f"{stored} of {items} are stored")
print("seconds", seconds)
