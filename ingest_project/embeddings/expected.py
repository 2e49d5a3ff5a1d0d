"""What a planned activation would have embedded, by model: requests, tokens and price, estimated."""

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
class Expected:
    """Requests that a run would make for a model: `tokens` from a sample of the texts, `usd` where it has a price."""

    model: int
    name: str
    items: int
    tokens: int
    usd: float | None


def expected_requests(work: Work, parts: Sequence[ValidPart], plan: Plan) -> list[Expected]:
    """By model, the active one first; nothing where the branch is not embedded."""
    if not work.branch.spec.embed:
        return []
    sample = parts[0].load().slice(0, _SAMPLE) if parts else None
    return [_of_model(model, plan.inserted + plan.reworded, sample) for model in working_models(work.connection)]


def _of_model(model: Model, items: int, sample: pa.Table | None) -> Expected:
    tokens = round(items * (_mean_bytes(sample, model.template) / BYTES_PER_TOKEN)) if sample else 0
    return Expected(model.model_id, model.label, items, tokens, model.price_of(tokens))


def _mean_bytes(rows: pa.Table, template: Sequence[str]) -> float:
    """Of the text that the rows become: a line for each field that is there."""
    lengths = [pc.binary_length(pc.cast(rows[field], pa.string())) for field in template]
    known = sum(pc.sum(one).as_py() or 0 for one in lengths)
    lines = sum(len(one) - one.null_count for one in lengths)
    return (known + max(lines - rows.num_rows, 0)) / rows.num_rows
