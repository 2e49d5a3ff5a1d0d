"""How Postgres goes about the first requests of many items, by what it knows right after they were loaded."""

# pyright: reportPrivateUsage=false
# The statement of a piece is asked for its plan.

from collections.abc import Iterator

import pytest

from ingest_project.branches.work import Work
from ingest_project.embeddings.ledger import _SQL
from ingest_project.postgres.connection import session
from ingest_project.upsert.item_statements import analyze_history_statement, statement
from ingest_project_tests.upsert.making import Source
from ingest_project_tests.upsert.test_plans_explain import FILL, nodes

ROWS = 60_000
HALF = ROWS // 2
HISTORY = """
insert into core.item_versions (written_by_activation, item_id, version, op)
select activation_id, item_id, 1, 'i' from core.items"""


@pytest.fixture(scope="module")
def loaded(own_database: str) -> Iterator[Work]:
    """A branch that was just loaded, and of which Postgres knows what it is told after a load."""
    with session(own_database) as opened:
        work = Source(opened).line().work(0)
        values = {"source_id": work.branch.source_id, "branch_id": work.branch.branch_id, "rows": ROWS}
        opened.execute(FILL, {**values, "activation_id": work.activation.activation_id})
        opened.execute(HISTORY)
        opened.execute(statement("vacuum_items"))
        opened.execute(analyze_history_statement(work.activation.activation_id))
        yield work


@pytest.mark.parametrize("half", [(None, 1 + HALF), (1 + HALF, None)])
def test_a_range_of_items_is_read_once_and_no_more_than_that(loaded: Work, half: tuple[int | None, int | None]) -> None:
    values = {"activations": [loaded.activation.activation_id], "low": half[0], "high": half[1]}
    with loaded.connection.transaction(force_rollback=True):
        plan = nodes(loaded.connection, _SQL["request_inserted"], values, how="analyze")
    (items,) = (node for node in plan if node.get("Relation Name") == "items")
    (history,) = (node for node in plan if node.get("Relation Name") == "item_versions_000000")
    assert (items["Index Name"], items["Actual Rows"], items.get("Rows Removed by Filter", 0)) == (
        "items_live",
        HALF,
        0,
    )
    assert items["Plan Rows"] == pytest.approx(HALF, rel=0.2)
    assert (items["Actual Loops"], history["Actual Loops"]) == (1, 1)
