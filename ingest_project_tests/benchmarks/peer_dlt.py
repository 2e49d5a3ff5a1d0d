"""dlt, tuned: Arrow batches from Parquet, COPY on the way in. Runs in an environment of its own.

python peer_dlt.py PARQUET DATABASE_URL upsert|delete-insert DATASET FOLDER
"""

import sys
import time

import dlt
import pyarrow.parquet as pq

path, url, strategy, dataset, folder = sys.argv[1:]


@dlt.resource(name="items", primary_key="external_id", write_disposition={"disposition": "merge", "strategy": strategy})
def items():  # noqa: ANN201 - what dlt makes of it
    yield from pq.ParquetFile(path).iter_batches(50_000)


pipeline = dlt.pipeline(
    dataset, destination=dlt.destinations.postgres(credentials=url), dataset_name=dataset, pipelines_dir=folder
)
began = time.perf_counter()
done = pipeline.run(items(), loader_file_format="csv")
done.raise_on_failed_jobs()
print("seconds", time.perf_counter() - began)  # without the time that imports take
