"""The job that `ingest run`, the sensors and `dagster job execute` start."""

import dagster as dg

ingest_branch = dg.define_asset_job(
    "ingest_branch",
    selection=dg.AssetSelection.groups("ingest"),
    description="Ingest one branch: read, normalize, upsert into core.items, derive embedding requests.",
)
