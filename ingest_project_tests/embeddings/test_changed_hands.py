"""Items that come to another branch of their source: their requests are that branch's, if it is embedded at all."""

import pytest

from ingest_project_tests.embeddings.asking import derived, requests
from ingest_project_tests.embeddings.test_ledger import made_renewed_dropped, set_done
from ingest_project_tests.upsert.making import Source, item
from ingest_project_tests.upsert.undoing import rolled_back


def filed(source: Source) -> dict[str, int]:
    return {key: row["branch_id"] for key, row in requests(source).items()}


@pytest.mark.parametrize("change", [{}, {"phone": "+4930123456"}], ids=["touched", "not what is embedded"])
def test_a_request_goes_with_its_item_from_branch_to_branch_and_back(source: Source, change: dict[str, str]) -> None:
    one, other = source.line(1), source.line(2)
    ours = derived(one, [item(1), item(2)]).work.branch.branch_id
    set_done(source)
    told = derived(other, [item(1, at=1, **change)])
    assert made_renewed_dropped(told) == (0, 0, 0)
    assert filed(source) == {"1": told.work.branch.branch_id, "2": ours}
    rolled_back(other, told.work.activation.activation_id)
    assert filed(source) == {key: row["branch_id"] for key, row in source.items().items()}
    assert {row["status"] for row in requests(source).values()} == {"d"}


CHANGES = pytest.mark.parametrize(
    "change", [{}, {"phone": "+4930123456"}, {"name": "Theirs"}], ids=["touched", "not what is embedded", "text"]
)


@CHANGES
@pytest.mark.parametrize("status", ["'p'", "'x', error_class = 'Poison', error = 'no'"], ids=["pending", "dead"])
def test_a_request_that_waits_goes_when_its_item_comes_to_a_branch_that_is_not_embedded(
    source: Source, change: dict[str, str], status: str
) -> None:
    speaking, silent = source.line(1), source.line(2, embed=False)
    derived(speaking, [item(1), item(2)])
    mark = f"update core.embedding_requests set status = {status} where item_id = %s"
    source.connection.execute(mark, (source.items()["1"]["item_id"],))
    assert made_renewed_dropped(derived(silent, [item(1, at=1, **change)])) == (0, 0, 1)
    assert set(requests(source)) == {"2"}


@CHANGES
def test_a_request_that_was_answered_goes_with_its_item_to_a_branch_that_is_not_embedded(
    source: Source, change: dict[str, str]
) -> None:
    derived(source.line(1), [item(1), item(2)])
    set_done(source)
    told = derived(source.line(2, embed=False), [item(1, at=1, **change)])
    assert made_renewed_dropped(told) == (0, 0, 0)
    assert {row["status"] for row in requests(source).values()} == {"d"}
    assert filed(source)["1"] == told.work.branch.branch_id


@CHANGES
def test_an_item_that_comes_from_a_branch_that_is_not_embedded_gets_its_request(
    source: Source, change: dict[str, str]
) -> None:
    derived(source.line(1, embed=False), [item(1), item(2)])
    speaking = source.line(2)
    assert made_renewed_dropped(derived(speaking, [item(1, at=1, **change)])) == (1, 0, 0)
    assert {key: row["current"] for key, row in requests(source).items()} == {"1": True}
    assert made_renewed_dropped(derived(speaking, [item(1, at=2, **change)])) == (0, 0, 0)


def test_a_rollback_to_a_branch_that_is_embedded_asks_again_and_to_one_that_is_not_asks_no_more(
    source: Source,
) -> None:
    speaking, silent = source.line(1), source.line(2, embed=False)
    derived(speaking, [item(1)])
    theirs = derived(silent, [item(1, "Theirs", at=1)]).work.activation.activation_id
    assert made_renewed_dropped(rolled_back(silent, theirs)) == (1, 0, 0)
    assert requests(source)["1"]["current"]
    derived(silent, [item(1, "Theirs", at=1)])
    ours = derived(speaking, [item(1, "Ours", at=2)]).work.activation.activation_id
    assert set(requests(source)) == {"1"}
    assert made_renewed_dropped(rolled_back(speaking, ours)) == (0, 0, 1)
    assert requests(source) == {}
