"""Promise 3: whatever the order in which branches arrive, the items end up the same.

And by the rank that is promised: naive ranks run through the same property, and it must catch each of them.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ingest_project.upsert import rank
from ingest_project_tests.upsert.making import Row, Source, item

KEYS = ("a", "b", "c")
COMPARED = ("name", "phone", "issues", "attributes", "content_hash", "source_updated_at", "priority", "deleted_at")
Activations = list[list[list[Row]]]  # by branch, in its own order


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """One activation: few keys, few contents and few times, so that ties and touches are common."""
    keys = draw(st.sets(st.sampled_from(KEYS), min_size=1))
    return [
        item(
            key,
            draw(st.sampled_from(("One", "Two"))),
            at=draw(st.sampled_from((None, 0, 1))),
            issues=draw(st.sampled_from(("[]", '[{"code": "noted"}]'))),
        )
        for key in sorted(keys)
    ]


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[Activations, list[int], list[int]]:
    """Activations of two or three branches, and two orders of branches in which they arrive."""
    branches = draw(st.lists(st.lists(rows(), min_size=1, max_size=3), min_size=2, max_size=3))
    turns = [branch for branch, own in enumerate(branches) for _ in own]
    return branches, draw(st.permutations(turns)), draw(st.permutations(turns))


def arrived(source: Source, branches: Activations, turns: Sequence[int]) -> dict[str, dict[str, Any]]:
    """What core.items says after the activations came in this order; checks the accounting on the way."""
    lines = [source.line(priority=branch) for branch in range(len(branches))]
    left = [list(own) for own in branches]
    told = [lines[turn].ingest(left[turn].pop(0)).counts for turn in turns]
    items, history = source.items(), source.history()
    assert sum(counts.inserted for counts in told) == len(items)
    assert sum(counts.inserted + counts.updated for counts in told) == len(history)
    assert sum(row["version"] for row in items.values()) == len(history)
    return {key: {name: row[name] for name in COMPARED} for key, row in items.items()}


def best(branches: Activations) -> dict[str, tuple[str, Any, int]]:
    """By hand, without SQL: (name, time, priority) of the greatest rank, the latest of its branch where it ties."""
    found: dict[str, tuple[tuple[Any, ...], tuple[str, Any, int]]] = {}
    for priority, own in enumerate(branches):
        for turn, carried in enumerate(own):
            for row in carried:
                time = row["source_updated_at"]
                rank = (time is not None, time.timestamp() if time else 0, priority, turn)
                if row["external_id"] not in found or found[row["external_id"]][0] < rank:
                    found[row["external_id"]] = rank, (row["name"], time, priority)
    return {key: value for key, (_, value) in found.items()}


@settings(max_examples=35)
@given(arrivals())
@example(([[[item("a", "One", 0)], [item("a", "Two", 0)]], [[item("a", "One", 1)]]], [0, 0, 1], [0, 1, 0]))
@example(([[[item("a", "One", None)]], [[item("a", "Two", None)]], [[item("a", "One", 0)]]], [0, 1, 2], [2, 1, 0]))
@example(([[[item("a", issues='[{"code": "noted"}]')]], [[item("a", at=1)]]], [0, 1], [1, 0]))
def test_any_order_of_arrival_ends_in_the_same_items(
    any_source: Source, case: tuple[Activations, list[int], list[int]]
) -> None:
    any_order_is_the_same(any_source, case)


def any_order_is_the_same(any_source: Source, case: tuple[Activations, list[int], list[int]]) -> None:
    """The law itself: both orders end in the same items, and those are the greatest by hand."""
    branches, one, other = case
    first = arrived(Source(any_source.connection), branches, one)
    second = arrived(Source(any_source.connection), branches, other)
    assert first == second
    told = {key: (row["name"], row["source_updated_at"], row["priority"]) for key, row in first.items()}
    assert told == best(branches)


@settings(max_examples=10)
@given(arrivals(), st.data())
def test_a_branch_that_sends_its_last_state_again_changes_nothing(
    any_source: Source, case: tuple[Activations, list[int], list[int]], data: st.DataObject
) -> None:
    branches, turns, _ = case
    source = Source(any_source.connection)
    before = arrived(source, branches, turns)
    again = data.draw(st.integers(0, len(branches) - 1))
    assert source.line(priority=again).ingest(branches[again][-1]).counts.changed == 0
    after = {key: {name: row[name] for name in COMPARED} for key, row in source.items().items()}
    assert after == before


# ── naive ranks ────────────────────────────────────────────────────────────────────────────────────────────────

_KIND = rank._KIND.as_string()  # pyright: ignore[reportPrivateUsage]
_WINS = "when {newer} or {equal} then 'u'"
NAIVE = {
    "the last to come wins": {"_INCOMING_RANK": "('infinity'::timestamptz, {priority})"},
    "the first to come stays": {"_KIND": _KIND.replace(_WINS, "when false then 'u'")},
    "of equals the older stays": {"_KIND": _KIND.replace(_WINS, "when {newer} then 'u'")},
    "no time is the newest": {
        "_INCOMING_RANK": "(coalesce(p.source_updated_at, 'infinity'), {priority})",
        "_LIVE_TIME": "coalesce(i.source_updated_at, 'infinity')",
    },
    "the lesser priority wins": {
        "_INCOMING_RANK": "(coalesce(p.source_updated_at, '-infinity'), -{priority})",
        "_LIVE_RANK": "({time}, -i.priority)",
    },
    "no priorities": {"_INCOMING_RANK": "(coalesce(p.source_updated_at, '-infinity'), 0)", "_LIVE_RANK": "({time}, 0)"},
}


@pytest.mark.parametrize("naive", NAIVE)
def test_a_naive_rank_is_caught(any_source: Source, monkeypatch: pytest.MonkeyPatch, naive: str) -> None:
    for name, text in NAIVE[naive].items():
        assert text != getattr(rank, name).as_string(), "a mutant differs"
        monkeypatch.setattr(rank, name, sql.SQL(text))  # pyright: ignore[reportArgumentType] - ours
    law = given(arrivals())(lambda case: any_order_is_the_same(any_source, case))
    with pytest.raises(AssertionError):
        settings(max_examples=200, phases=[Phase.generate], derandomize=True, database=None)(law)()
