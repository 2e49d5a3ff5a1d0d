"""The five assets, in the order of the data. An asset says what is to be done; its IO manager does and stores it."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from ingest_project.defs import gates
from ingest_project.defs.embedding import check_results, check_specs, results_without_vectors
from ingest_project.defs.failures import explained
from ingest_project.defs.lineage import core_table_schema, request_table_schema, vector_table_schema
from ingest_project.defs.metadata import item_table_schema
from ingest_project.defs.partitions import branch_partitions
from ingest_project.defs.parts import Changes, Embedded, Ledger, Pages, Parts, Requests, Upsert, normalize_frame
from ingest_project.defs.plans import observe_plan
from ingest_project.defs.resources import SNAPSHOTTED, IngestRun

GROUP = "ingest"
OWNERS = ["team:data-engineering"]
# For the asset as a whole, so for the branch that was ingested last; a branch file may limit the age of its own source.
_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=8), warn_window=timedelta(days=2))
# Errors that another attempt cannot mend are raised with allow_retries=False; all others are tried again.
_RETRIES = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="parts",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    retry_policy=_RETRIES,
    check_specs=gates.specs("branch_snapshot", gates.SNAPSHOT),
)
def branch_snapshot(
    context: dg.AssetExecutionContext, ingest: IngestRun
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """The branch's data as it is now: pinned, checked, read once, and kept as numbered Parquet parts.

    Refuses a source that is missing, empty, unreadable, too old, or without the declared columns.
    """
    with explained(context):
        branch = ingest.branch(context.partition_key)
    pages = Pages(branch, ingest.rows_per_part)
    yield dg.MaterializeResult(value=pages)
    with explained(context):
        work, _ = ingest.take(branch.name, SNAPSHOTTED)
    yield from gates.source_results(work)


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="parts",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "pandas"},
    metadata={"dagster/column_schema": item_table_schema()},
    retry_policy=_RETRIES,
    check_specs=gates.specs("normalized_items", gates.NORMALIZED),
)
def normalized_items(branch_snapshot: Parts) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """Each row as an item in normal form, or as a reject that says why; of rows that share a key, the newest counts.

    An activation that fails its gates goes no further, unless a person accepts it.
    """
    normalized = branch_snapshot.map(partial(normalize_frame, spec=branch_snapshot.spec))
    yield dg.MaterializeResult(value=normalized)
    yield from gates.results(branch_snapshot.work, gates.NORMALIZED)


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="items",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "table"},
    metadata={"dagster/column_schema": core_table_schema(), "dagster/table_name": "core.items"},
    freshness_policy=_FRESHNESS,
    output_required=False,
    retry_policy=_RETRIES,
    check_specs=gates.specs("core_items", gates.CORE),
)
def core_items(
    context: dg.AssetExecutionContext, ingest: IngestRun, normalized_items: Parts
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation | dg.AssetCheckResult]:
    """core.items, upserted by (source, key).

    New keys are inserted. Other content with a greater rank (source time, then branch priority) replaces what is
    there, and the old image goes to history. Equal content is never rewritten: a greater rank alone touches the row.
    A lesser rank is stale and changes nothing. Items that are missing are kept, or marked as deleted where the branch
    says so. A dry run observes the plan and materializes nothing.
    """
    if ingest.dry_run:
        with explained(context, normalized_items.work):
            observation, plan = observe_plan(context, ingest.store, normalized_items, save=ingest.save)
        yield observation
        yield from gates.planned_results(plan.blocked_by)
        return
    yield dg.MaterializeResult(value=Upsert(normalized_items))
    yield from gates.results(normalized_items.work, gates.CORE)


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

    Requests are derived from the history of the items, not sent as messages: deriving again finds any that are missing.
    """
    return Requests(core_items)


@dg.asset(
    partitions_def=branch_partitions,
    io_manager_key="vectors",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "table"},
    metadata={"dagster/column_schema": vector_table_schema(), "dagster/table_name": "core.item_embeddings"},
    check_specs=check_specs(),
    output_required=False,
    retry_policy=_RETRIES,
)
def item_embeddings(
    context: dg.AssetExecutionContext, embedding_requests: Ledger
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation | dg.AssetCheckResult]:
    """core.item_embeddings: the vector of each item's text, by the active model and by those that are being filled.

    Embeds what is due in the ledger of the branch, whichever activation asked for it, for some minutes; the sensor
    embedding_backlog starts the next run. A vector is replaced only by a new one. Without pgvector nothing is
    materialized, an observation shows the command for the DBA, and the requests wait.
    """
    if embedding_requests.vectors_missing:
        yield from results_without_vectors(context, embedding_requests, embedding_requests.vectors_missing)
        return
    embedded = Embedded(embedding_requests)
    yield dg.MaterializeResult(value=embedded)
    if embedded.drained is not None:
        yield from check_results(embedded.drained)
