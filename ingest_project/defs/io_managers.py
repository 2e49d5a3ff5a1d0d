"""The IO managers of the assets: Parquet parts with a manifest, upserts into core.items, the embedding ledger.

The folders of the stages do the work and know nothing of Dagster; an IO manager gives a stage the run's lease and
session, and turns what the stage returns into metadata.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from ingest_project import instruments
from ingest_project.branches import alerts
from ingest_project.branches.work import Work
from ingest_project.codes import REASONS
from ingest_project.defs import gates, metadata
from ingest_project.defs.embedding import PostgresVectors, find_missing_vectors
from ingest_project.defs.failures import explained
from ingest_project.defs.lineage import core_table_schema, lineage_of_core, lineage_of_normalized, source_table_schema
from ingest_project.defs.parts import Changes, Ledger, MappedParts, Pages, Parts, Requests, Upsert, apply_to_table
from ingest_project.defs.progress import progress_shown
from ingest_project.defs.report import report, source_metadata
from ingest_project.defs.resources import COMMITTED, READY, SNAPSHOTTED, IngestRun
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.errors import GateBlocked, Refused
from ingest_project.extract import snapshot
from ingest_project.extract.manifest import ListedPart, listed_parts
from ingest_project.extract.source import ReadMetrics
from ingest_project.extract.store import PartStore
from ingest_project.normalize import normalized, profiles
from ingest_project.normalize.quarantine import reject_codes
from ingest_project.postgres.connection import session
from ingest_project.upsert.items import apply_activation


def _run_of(context: dg.InputContext | dg.OutputContext) -> IngestRun:
    return context.resources.ingest


class ParquetParts(dg.IOManager):
    """Parts as Parquet files; only those listed in ingest.parts exist."""

    def handle_output(self, context: dg.OutputContext, obj: Pages | MappedParts) -> None:
        if isinstance(obj, Pages):
            self._take_snapshot(context, obj)
        else:
            self._normalize(context, obj)

    def load_input(self, context: dg.InputContext) -> Parts:
        """The parts of the activation that this run works on, or of the newest one that is ready."""
        ingest = _run_of(context)
        upstream = context.upstream_output
        assert upstream is not None
        if upstream.asset_key.path[-1] == snapshot.ASSET:
            with explained(context):
                work, repair = ingest.take(context.asset_partition_key, SNAPSHOTTED)
                listed = listed_parts(work.connection, work.activation.activation_id, snapshot.ASSET)
            return Parts(work, [_loader(ingest.store, part) for part in listed], repair=repair)
        with explained(context):
            work, repair = ingest.take(context.asset_partition_key, READY)
            valid = normalized.valid_parts(work, ingest.store)
        return Parts(work, [part.load for part in valid], repair=repair)

    def _take_snapshot(self, context: dg.OutputContext, pages: Pages) -> None:
        ingest, began = _run_of(context), time.monotonic()
        with explained(context):
            work = ingest.begin(pages.branch.name)
        with (
            explained(context, work),
            _refusals_reported(context, work, gates.SNAPSHOT),
            progress_shown(context, snapshot.ASSET, work),
        ):
            result = _measured_snapshot(work, ingest.store, pages)
            parts = listed_parts(work.connection, work.activation.activation_id, snapshot.ASSET)
            first_part = ingest.store.get(parts[0].path) if parts else None
        activation = result.work.activation
        columns, drift = (activation.pin or {}).get("columns", []), activation.reported_drift
        lag = result.lag_seconds
        if lag is not None:
            instruments.measure_lag(pages.branch.name, lag)
        context.add_output_metadata(
            {
                **_ids(result.work),
                **metadata.counts(activation, "rows_read"),
                "dagster/partition_row_count": activation.rows_read or 0,
                "pages": result.metrics.pages,
                "bytes": result.metrics.bytes,
                "parts": len(parts),
                "page_p95_seconds": round(result.metrics.page_p95_seconds, 3),
                "attempt": context.step_context.previous_attempt_count + 1,
                **({"lag_seconds": round(lag)} if lag is not None else {}),
                **metadata.pace(result.metrics.rows, time.monotonic() - began),
                "peak_memory_mb": metadata.peak_memory_mb(),
                "dagster/column_schema": source_table_schema(columns, result.work.spec),
                **({"columns_changed": metadata.table_of([{"change": change} for change in drift])} if drift else {}),
                **({"preview": metadata.preview(first_part.select(columns))} if first_part is not None else {}),
            }
        )

    def _normalize(self, context: dg.OutputContext, mapped: MappedParts) -> None:
        ingest, began, work = _run_of(context), time.monotonic(), mapped.parts.work
        with (
            explained(context, work),
            _refusals_reported(context, work, gates.NORMALIZED),
            progress_shown(context, normalized.ASSET, work),
        ):
            result = normalized.normalize_activation(work, ingest.store, partial(apply_to_table, mapped.rule))
            parts = listed_parts(work.connection, work.activation.activation_id, normalized.ASSET)
            rejects = reject_codes(result.connection, result.activation.activation_id)
            profile = profiles.find(result.connection, result.activation.activation_id)
            first_part = ingest.store.get(parts[0].path) if parts else None
        activation = result.activation
        if not work.activation.normalized_at:
            instruments.count_outcomes(work.branch.name, {"rejected": activation.rejected})
        context.add_output_metadata(
            {
                **_ids(result),
                **metadata.counts(activation, "rows_read", "valid", "rejected", "carried"),
                "dagster/partition_row_count": activation.valid or 0,
                "bytes": sum(part.bytes for part in parts),
                "parts": len(parts),
                **metadata.pace(activation.rows_read or 0, time.monotonic() - began),
                "peak_memory_mb": metadata.peak_memory_mb(),
                "dagster/column_schema": metadata.item_table_schema(),
                "dagster/column_lineage": lineage_of_normalized((activation.pin or {}).get("columns", []), result.spec),
                "rejects": dg.MetadataValue.md(metadata.codes_table(rejects, REASONS) or "none"),
                **({"preview": metadata.preview(first_part)} if first_part is not None else {}),
                **(metadata.profile_tables(profile) if profile else {}),
            }
        )


class PostgresItems(dg.IOManager):
    """Upserts into core.items by probe, lock and apply: history, counts and rows commit together."""

    def handle_output(self, context: dg.OutputContext, obj: Upsert) -> None:
        ingest, began, work = _run_of(context), time.monotonic(), obj.items.work
        with (
            explained(context, work),
            _refusals_reported(context, work, gates.CORE),
            progress_shown(context, "core_items", work),
        ):
            if work.activation.committed_at and not obj.items.repair:
                activation, missing = work.activation, work.activation.missing or 0
            else:
                valid = normalized.valid_parts(work, ingest.store)
                applied = apply_activation(work, valid, repair=obj.items.repair, as_planned=ingest.plan is not None)
                activation, missing = applied.activation, applied.missing
                instruments.count_outcomes(work.branch.name, applied.counts.outcomes())
            committed = work.on(activation)
            page = report(committed, ingest.store)
        context.add_output_metadata(
            {
                "report": page,
                **_ids(work),
                **source_metadata(committed),
                **metadata.counts(activation, "valid", "inserted", "updated", "touched", "unchanged", "stale"),
                "missing": missing,
                "tombstoned": activation.tombstoned or 0,
                "dagster/table_name": "core.items",
                "dagster/partition_row_count": activation.valid or 0,
                **metadata.pace(activation.valid or 0, time.monotonic() - began),
                "peak_memory_mb": metadata.peak_memory_mb(),
                "dagster/column_schema": core_table_schema(),
                "dagster/column_lineage": lineage_of_core(),
            }
        )

    def load_input(self, context: dg.InputContext) -> Changes:
        """The changes of the committed activation that this run works on, or of the newest committed one."""
        with explained(context):
            work, _ = _run_of(context).take(context.asset_partition_key, COMMITTED)
        return Changes(work)


class PostgresLedger(dg.IOManager):
    """Derives core.embedding_requests from what an activation changed, and ends the activation."""

    def handle_output(self, context: dg.OutputContext, obj: Requests) -> None:
        began, work = time.monotonic(), obj.changes.work
        with explained(context, work), progress_shown(context, "embedding_requests", work):
            derived = derive_requests(work)
            if alerts.is_enabled():
                alerts.clear_alert(
                    work.connection, work.branch.branch_id, work.activation.activation_id, work.lease.run_id
                )
                alerts.deliver(work.connection)
        context.add_output_metadata(
            {
                **_ids(derived.work),
                "requests": derived.requests,
                "made": derived.made,
                "renewed": derived.renewed,
                "dropped": derived.dropped,
                "answered": derived.answered,
                "dagster/table_name": "core.embedding_requests",
                **metadata.pace(derived.requests, time.monotonic() - began),
                "peak_memory_mb": metadata.peak_memory_mb(),
            }
        )

    def load_input(self, context: dg.InputContext) -> Ledger:
        """All requests of the branch, whichever activation made them; workers read them by claiming them."""
        with explained(context), session() as connection:
            return Ledger(_run_of(context).branch(context.asset_partition_key), find_missing_vectors(connection))


@contextmanager
def _refusals_reported(context: dg.OutputContext, work: Work, codes: tuple[str, ...]) -> Generator[None]:
    """Record asset checks of an activation that is blocked or refused inside."""
    try:
        yield
    except GateBlocked:
        gates.report_blocked(context, work, codes)
        raise
    except Refused as error:
        gates.report_refused(context, error)
        raise


def _measured_snapshot(work: Work, store: PartStore, pages: Pages) -> snapshot.Snapshot:
    metrics = ReadMetrics()
    try:
        return snapshot.take_snapshot(work, store, batch_size=pages.batch_size, metrics=metrics)
    finally:
        instruments.measure_reading(pages.branch.name, pages=metrics.page_seconds, taken=metrics.bytes)


def _loader(store: PartStore, part: ListedPart) -> Callable[[], pa.Table]:
    return lambda: store.get(part.path, part.digest)


def _ids(work: Work) -> dict[str, Any]:
    return {"activation": work.activation.activation_id, "branch": work.branch.name}


def _definition(manager: type[dg.IOManager]) -> dg.IOManagerDefinition:
    """An IO manager that needs the resource of the run; the launchpad shows its docstring."""
    description = (manager.__doc__ or "").strip()
    return dg.IOManagerDefinition(lambda _: manager(), required_resource_keys={"ingest"}, description=description)


parts_io_manager = _definition(ParquetParts)
items_io_manager = _definition(PostgresItems)
ledger_io_manager = _definition(PostgresLedger)
vectors_io_manager = _definition(PostgresVectors)
