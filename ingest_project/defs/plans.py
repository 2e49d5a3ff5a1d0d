"""A dry run's result: what an ingest would do, as an observation of core_items."""

from dataclasses import asdict

import dagster as dg

from ingest_project.branches import activations
from ingest_project.defs.parts import Parts
from ingest_project.defs.report import plan_report
from ingest_project.embeddings.expected import expected_requests
from ingest_project.extract.store import PartStore
from ingest_project.normalize import normalized
from ingest_project.upsert.plan import Plan, plan_activation


def observed_plan(
    context: dg.AssetExecutionContext, store: PartStore, items: Parts, *, save: bool
) -> tuple[dg.AssetObservation, Plan]:
    """Compute the plan, keep it with the activation, and say it."""
    work = items.work
    parts = normalized.valid_parts(work, store)
    plan = plan_activation(work, parts, save=save)
    known = {**plan.to_json(), "embedding": [asdict(one) for one in expected_requests(work, parts, plan)]}
    with work.transaction() as connection:
        activations.record_plan(connection, work.activation, known)
    numbers = {name: value for name, value in known.items() if isinstance(value, int)}
    observed = dg.AssetObservation(
        asset_key=context.asset_key,
        partition=context.partition_key,
        metadata={
            "report": plan_report(work, known),
            "activation": work.activation.activation_id,
            "dry_run": True,
            **numbers,
        },
    )
    return observed, plan
