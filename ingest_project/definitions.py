"""The whole project on one page: five assets on their way from a branch to vectors, and what moves them."""

import dagster as dg

from ingest_project.defs.assets import (
    branch_snapshot,
    core_items,
    embedding_requests,
    item_embeddings,
    normalized_items,
)
from ingest_project.defs.embedding_sensor import embedding_backlog
from ingest_project.defs.io_managers import (
    items_io_manager,
    ledger_io_manager,
    parts_io_manager,
    vectors_io_manager,
)
from ingest_project.defs.jobs import embed_branch, ingest_branch
from ingest_project.defs.logs import terminal_logger
from ingest_project.defs.nightly import prune_daily, prune_job, reconcile_daily, reconcile_job
from ingest_project.defs.resources import IngestRun
from ingest_project.defs.sensors import branch_activation, release_leases

defs = dg.Definitions(
    assets=[branch_snapshot, normalized_items, core_items, embedding_requests, item_embeddings],
    jobs=[ingest_branch, embed_branch, reconcile_job, prune_job],
    schedules=[reconcile_daily, prune_daily],
    sensors=[branch_activation, embedding_backlog, release_leases],
    resources={
        "ingest": IngestRun(),
        "parts": parts_io_manager,
        "items": items_io_manager,
        "ledger": ledger_io_manager,
        "vectors": vectors_io_manager,
    },
    loggers={"console": terminal_logger},
    # The chain is sequential and parts run over threads: a process per step would cost seconds and gain nothing.
    executor=dg.in_process_executor,
)
