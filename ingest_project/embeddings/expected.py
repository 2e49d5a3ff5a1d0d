"""The estimated embedding requests of a planned activation, by model, with their tokens and price."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.branches.work import Work
from ingest_project.embeddings.models import Model, working_models
from ingest_project.embeddings.text import BYTES_PER_TOKEN
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.plan import Plan

_SAMPLE = 1000


@dataclass(frozen=True)
class ExpectedRequests:
    """Requests that a run would make for a model. `tokens` is estimated from a sample; `usd` where it has a price."""

    model: int
    name: str
    items: int
    tokens: int
    usd: float | None


def expected_requests(work: Work, parts: Sequence[ValidPart], plan: Plan) -> list[ExpectedRequests]:
    """The requests for each model, the active one first; none where the branch is not embedded."""
    if not work.branch.spec.embed:
        return []
    sample = parts[0].load().slice(0, _SAMPLE) if parts else None
    return [_estimate(model, plan.inserted + plan.reworded, sample) for model in working_models(work.connection)]


def _estimate(model: Model, items: int, sample: pa.Table | None) -> ExpectedRequests:
    tokens = round(items * (_mean_bytes(sample, model.template) / BYTES_PER_TOKEN)) if sample else 0
    return ExpectedRequests(model.model_id, model.label, items, tokens, model.price_of(tokens))


def _mean_bytes(rows: pa.Table, template: Sequence[str]) -> float:
    """Mean length of the rows' texts: one line for each field that is not null."""
    lengths = [pc.binary_length(pc.cast(rows[field], pa.string())) for field in template]
    total = sum(pc.sum(field_lengths).as_py() or 0 for field_lengths in lengths)
    lines = sum(len(field_lengths) - field_lengths.null_count for field_lengths in lengths)
    line_breaks = max(lines - rows.num_rows, 0)
    return (total + line_breaks) / rows.num_rows
