"""A dry run's result: what an ingest would do, as an observation of core_items."""

import dagster as dg

from ingest_project.branches import activations
from ingest_project.defs.parts import Parts
from ingest_project.defs.report import plan_report
from ingest_project.extract.store import PartStore
from ingest_project.normalize import normalized
from ingest_project.upsert.plan import Plan, plan_activation


def observed_plan(
    context: dg.AssetExecutionContext, store: PartStore, items: Parts, *, save: bool
) -> tuple[dg.AssetObservation, Plan]:
    """Compute the plan, keep it with the activation, and say it."""
    work = items.work
    plan = plan_activation(work, normalized.valid_parts(work, store), save=save)
    with work.transaction() as connection:
        activations.keep_plan(connection, work.activation, plan.to_json())
    known = plan.to_json()
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
