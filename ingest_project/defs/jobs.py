"""The jobs that `ingest run`, the sensors and `dagster job execute` start."""

import dagster as dg

ingest_branch = dg.define_asset_job(
    "ingest_branch",
    selection=dg.AssetSelection.assets("branch_snapshot", "normalized_items", "core_items", "embedding_requests"),
    description="Ingest one branch: read, normalize, upsert into core.items, derive embedding requests.",
)

embed_branch = dg.define_asset_job(
    "embed_branch",
    selection=dg.AssetSelection.assets("item_embeddings"),
    description="Embed what waits in the ledger of one branch, for INGEST_EMBED_RUN_SECONDS at most.",
)
