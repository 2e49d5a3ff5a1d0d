"""The four assets, in the order of the data. Bodies say what happens; IO managers say how it is stored."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from ingest_project.defs.failures import explained
from ingest_project.defs.lineage import request_table_schema
from ingest_project.defs.metadata import item_table_schema
from ingest_project.defs.partitions import branch_partitions
from ingest_project.defs.parts import Changes, MappedParts, Pages, Parts, Requests, Upsert, normalize_frame
from ingest_project.defs.plans import observed_plan
from ingest_project.defs.resources import IngestRun

GROUP = "ingest"
OWNERS = ["team:data-engineering"]
# Of the branch that was ingested last: how old one branch may be is in its file (limits, max_age).
_FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=8), warn_window=timedelta(days=2))
# Locked, refused and unusable runs say so themselves (allow_retries=False); what may pass is tried again.
_RETRIES = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="parts",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    retry_policy=_RETRIES,
)
def branch_snapshot(context: dg.AssetExecutionContext, ingest: IngestRun) -> Pages:
    """The branch's data as it is now, read once: pinned, checked, and kept as numbered Parquet parts.

    Refuses a source that is missing, empty, unreadable, too old, or without the declared columns.
    """
    with explained(context):
        branch = ingest.branch(context.partition_key)
    return Pages(branch, ingest.rows_per_part)


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="parts",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "pandas"},
    metadata={"dagster/column_schema": item_table_schema()},
    retry_policy=_RETRIES,
)
def normalized_items(branch_snapshot: Parts) -> MappedParts:
    """Each row as an item in normal form, or as a reject that says why; of rows with one key, the newest."""
    return branch_snapshot.map(partial(normalize_frame, spec=branch_snapshot.spec))


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="items",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "table"},
    metadata={"dagster/column_schema": item_table_schema(), "dagster/table_name": "core.items"},
    freshness_policy=_FRESH,
    output_required=False,
    retry_policy=_RETRIES,
)
def core_items(
    context: dg.AssetExecutionContext, ingest: IngestRun, normalized_items: Parts
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
    """core.items, upserted by (source, key).

    New keys are inserted. Other content with a greater rank (source time, then branch priority) replaces what is
    there, and the old image goes to history. Equal content is never rewritten: a greater rank alone touches the row.
    A lesser rank is stale and changes nothing. Items that are missing are kept, or marked as deleted where the branch
    says so. A dry run observes the plan and materializes nothing.
    """
    if ingest.dry_run:
        with explained(context, normalized_items.work):
            yield observed_plan(context, ingest.store, normalized_items, save=ingest.save)
        return
    yield dg.MaterializeResult(value=Upsert(normalized_items))


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="ledger",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "table"},
    metadata={"dagster/column_schema": request_table_schema(), "dagster/table_name": "core.embedding_requests"},
    retry_policy=_RETRIES,
)
def embedding_requests(core_items: Changes) -> Requests:
    """core.embedding_requests: one request per active model and item whose embedded text this activation changed.

    Derived from history, never sent: whatever was lost on the way is found again by deriving once more.
    """
    return Requests(core_items)
