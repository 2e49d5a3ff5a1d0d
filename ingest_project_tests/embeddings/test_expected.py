"""What a plan says would be embedded is what the run then asks for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.branches.work import Work
from ingest_project.embeddings.expected import ExpectedRequests, expected_requests
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.upsert.items import apply_activation
from ingest_project.upsert.plan import plan_activation
from ingest_project_tests.embeddings.asking import derived
from ingest_project_tests.embeddings.modelling import added, alone, shared
from ingest_project_tests.upsert.making import Line, Row, Source, item, parts_of
from ingest_project_tests.upsert.test_plan import states

pytestmark = pytest.mark.usefixtures("pgvector")

__all__ = ["alone", "shared"]


def expected(line: Line, rows: list[Row], size: int | None = None) -> tuple[Work, list[ExpectedRequests]]:
    """The next activation, planned."""
    work, parts = line.work(len(rows)), parts_of(rows, size)
    return work, expected_requests(work, parts, plan_activation(work, parts))


@settings(max_examples=15)
@given(before=states(), deleted=st.sets(st.sampled_from("abcdef")), after=states(), size=st.integers(1, 4))
def test_what_is_expected_is_what_is_asked_for(
    any_source: Source, before: list[Row], deleted: set[str], after: list[Row], size: int
) -> None:
    source = Source(any_source.connection)
    line = source.line(missing="tombstone", limits={"max_shrink_ratio": 1})
    derived(line, before)
    derived(line, [row for row in before if row["external_id"] not in deleted])
    work, found = expected(line, after, size)
    applied = apply_activation(work, parts_of(after, size))
    made = derive_requests(work.on(applied.activation)).requests
    assert sum(one.items for one in found) == made


def test_tokens_and_price_are_those_of_the_texts_of_each_model(alone: Source) -> None:
    first, short = (
        added(alone.connection, "all"),
        added(alone.connection, "short", template=("name",), options={"usd_per_million_tokens": 2e6}),
    )
    _, found = expected(alone.line(), [item(at, "Name", description="a" * 35) for at in range(10)])
    told = {one.model: one for one in found}
    assert (told[first.model_id].items, told[first.model_id].tokens, told[first.model_id].usd) == (10, 100, None)
    assert (told[short.model_id].tokens, told[short.model_id].usd) == (10, 20.0)


def test_changes_that_no_model_embeds_cost_nothing(alone: Source) -> None:
    line = alone.line()
    derived(line, [item("a"), item("b")])
    _, (one,) = expected(line, [item("a", at=1, phone="+4930123456"), item("b", "Renamed", at=1)])
    assert (one.name, one.items) == ("builtin/lexical-hashing", 1)


@pytest.mark.parametrize(("embed", "rows"), [(False, [item("a")]), (True, [])])
def test_nothing_is_expected_of_nothing(alone: Source, embed: bool, rows: list[Row]) -> None:
    _, found = expected(alone.line(embed=embed), rows)
    assert [one.items for one in found] == ([0] if embed else [])
