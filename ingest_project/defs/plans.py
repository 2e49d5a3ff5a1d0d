"""The result of a dry run: what an ingest would do, as an observation of core_items."""

from dataclasses import asdict

import dagster as dg

from ingest_project.branches import activations
from ingest_project.defs.parts import Parts
from ingest_project.defs.report import plan_report
from ingest_project.embeddings.expected import expected_requests
from ingest_project.extract.store import PartStore
from ingest_project.normalize import normalized
from ingest_project.upsert.plan import Plan, plan_activation


def observe_plan(
    context: dg.AssetExecutionContext, store: PartStore, items: Parts, *, save: bool
) -> tuple[dg.AssetObservation, Plan]:
    """Compute the plan and keep it with the activation; the observation shows it."""
    work = items.work
    parts = normalized.valid_parts(work, store)
    plan = plan_activation(work, parts, save=save)
    expected = [asdict(requests) for requests in expected_requests(work, parts, plan)]
    kept_plan = {**plan.to_json(), "embedding": expected}
    with work.transaction() as connection:
        activations.record_plan(connection, work.activation, kept_plan)
    numbers = {name: value for name, value in kept_plan.items() if isinstance(value, int)}
    observation = dg.AssetObservation(
        asset_key=context.asset_key,
        partition=context.partition_key,
        metadata={
            "report": plan_report(work, kept_plan),
            "activation": work.activation.activation_id,
            "dry_run": True,
            **numbers,
        },
    )
    return observation, plan
