"""Rows that are as they were are carried forward: counted, as if normalized anew, and never from the wrong place."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest_project.branches import registry
from ingest_project.branches.activations import Activation
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.errors import GateBlocked
from ingest_project.normalize import carry, normalized
from ingest_project.normalize.part import NormalizedPart, normalize_part
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project.torture import chain
from ingest_project.torture.chain import ingest
from ingest_project.upsert import rollback
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place, spec_of
from ingest_project_tests.journey.states import rows, state
from ingest_project_tests.journey.test_exactly_once import killed_at

# Where the rows of FIRST are: one without a key, one that another gives way to.
ALL, REJECTED = len(FIRST), 2


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers of the rows that were really normalized, in this process."""
    numbers: list[int] = []

    def counted(page: pa.Table, spec: Any) -> NormalizedPart:
        numbers.extend(page["__row"].to_pylist())
        return normalize_part(page, spec)

    monkeypatch.setattr(chain, "normalize_part", counted)
    yield numbers


def after(place: Place, given: Any) -> Activation:
    """Ingest the branch with these rows now."""
    place.holds(given)
    return ingest(place.name)


def twice(branch: Callable[..., Place], **spec: Any) -> Place:
    """A branch that was ingested once."""
    place = branch(FIRST, **spec)
    assert ingest(place.name).carried == 0
    return place


def everything() -> dict[str, Any]:
    with session() as connection:
        found = state(connection)
    for one in found["activations"]:
        del one["carried"]
    return found


def test_of_an_unchanged_source_every_row_is_carried_and_none_looks_missing(
    branch: Callable[..., Place], asked: list[int]
) -> None:
    place = twice(branch)
    before = everything()
    asked.clear()
    done = after(place, FIRST)
    assert (done.rows_read, done.carried, done.rejected, done.missing) == (ALL, ALL, REJECTED, 0)
    assert (done.unchanged, done.inserted, done.updated) == (ALL - REJECTED, 0, 0)
    assert asked == []
    now = everything()
    assert now["items"] == before["items"]
    first, second = ([one for one in now["rejects"] if one["activation"] == nth] for nth in (1, 2))
    assert [one | {"activation": 1} for one in second] == first


def test_a_part_that_is_the_same_is_a_second_name_of_the_file(branch: Callable[..., Place], home: Path) -> None:
    place = twice(branch)
    after(place, FIRST)
    files = sorted((home / "parts").glob("*/*/normalized_items/*.parquet"))
    assert len(files) == 6 and {file.stat().st_nlink for file in files} == {2}
    assert list((home / "parts").rglob(".*")) == []
    for file in files[:3]:
        file.unlink()  # as retention does: what was carried stays
    assert ingest_repaired(place) == ALL


def ingest_repaired(place: Place) -> int | None:
    return after(place, FIRST).carried


def test_changed_rows_are_normalized_and_all_others_carried(branch: Callable[..., Place], asked: list[int]) -> None:
    place = twice(branch)
    asked.clear()
    done = after(place, SECOND)
    same = [number for number, row in enumerate(SECOND, start=1) if row in FIRST]
    assert done.carried == len(same) == 3
    assert sorted(asked) == [number for number in range(1, len(SECOND) + 1) if number not in same]


@pytest.fixture
def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page of a snapshot may be hashed: a first state has nothing to be compared with."""

    def hashed(task: carry.HashTask) -> None:
        raise AssertionError(task)

    monkeypatch.setattr(carry, "hash_page", hashed)


@pytest.mark.usefixtures("unhashed")
def test_rows_that_changed_in_their_place_are_found_without_hashing_the_others(
    branch: Callable[..., Place], asked: list[int]
) -> None:
    place = twice(branch)
    asked.clear()
    renamed = ("2", "Beta renamed", "Paris", "FR", "48.8", "2.3", "2024-02-01T00:00:00Z", "red")
    done = after(place, [FIRST[0], renamed, *FIRST[2:]])
    assert (done.carried, done.updated, done.unchanged, asked) == (ALL - 1, 1, ALL - REJECTED - 1, [2])


@pytest.mark.usefixtures("unhashed")
def test_rows_behind_all_others_are_new_and_not_searched_for(branch: Callable[..., Place], asked: list[int]) -> None:
    place = twice(branch)
    asked.clear()
    more = [(str(at), "Nu", *FIRST[3][2:]) for at in range(100, 106)]
    done = after(place, [*FIRST, *more])
    assert (done.carried, done.inserted, done.unchanged) == (ALL, len(more), ALL - REJECTED)
    assert sorted(asked) == list(range(ALL + 1, ALL + 1 + len(more)))


def moved() -> list[tuple[str, ...]]:
    new = ("20", "Nu", "Rome", "IT", "41.9", "12.5", "2024-01-01T00:00:00Z", "red")
    return [*FIRST[:3], new, *FIRST[3:]]


def test_rows_inserted_in_the_middle_shift_the_parts_and_are_still_known(
    branch: Callable[..., Place], asked: list[int]
) -> None:
    place = twice(branch)
    asked.clear()
    done = after(place, moved())
    assert (done.carried, done.inserted, done.unchanged, done.missing) == (ALL, 1, ALL - REJECTED, 0)
    assert asked == [4]
    with session() as connection:
        told = rows(connection, "select part, row, errors from ingest.rejects where activation_id = 2 order by row")
    assert [(one["part"], one["row"], one["errors"][0]["code"]) for one in told] == [
        (1, 6, "key_missing"),
        (2, 11, "duplicate_key"),
    ]
    assert told[1]["errors"][0]["message"] == "row 1 has the same key and is newer"


STATES: dict[str, list[list[tuple[str, ...]]]] = {
    "updated": [list(FIRST), list(SECOND), list(FIRST)],
    "twice the same rows": [[*FIRST, *FIRST], [*FIRST[5:], *FIRST, FIRST[0]], list(FIRST)],
    "backwards": [list(FIRST), list(reversed(FIRST)), list(SECOND)],
    "only rejects": [[FIRST[4]] * 5, [FIRST[4]] * 9, [*FIRST, FIRST[4]]],
}


def mixed(seed: int) -> list[list[tuple[str, ...]]]:
    chance = random.Random(seed)
    pool = [*FIRST, *SECOND, *[(str(number), "N", "Rome", "IT", "1", "2", "", "") for number in range(20, 30)]]
    return [[chance.choice(pool) for _ in range(chance.randint(1, 25))] for _ in range(3)]


@pytest.mark.parametrize("case", [*STATES, 1])
def test_what_is_carried_is_what_normalizing_anew_gives(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, case: str | int
) -> None:
    states = STATES[case] if isinstance(case, str) else mixed(case)
    found: list[dict[str, Any]] = []
    for looked_up in (carry.baseline_of, lambda *_: None):
        monkeypatch.setattr(normalized, "baseline_of", looked_up)
        place = branch(FIRST, name="places", source="test")
        done = [after(place, given) for given in states]
        assert (sum(one.carried or 0 for one in done) > 0) == (looked_up is carry.baseline_of)
        found.append(everything())
        forget()
    assert found[0] == found[1]


def forget() -> None:
    with session() as connection:
        connection.execute("truncate ingest.sources, core.items, core.item_versions, core.embedding_requests "
                           "restart identity cascade")  # fmt: skip
        connection.execute(
            "truncate ingest.activations, ingest.parts, ingest.batches, ingest.rejects restart identity cascade"
        )


def test_rows_from_too_many_parts_are_normalized_again(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    monkeypatch.setattr(carry, "MAX_BASE_PARTS", 1)
    place = twice(branch)
    asked.clear()
    done = after(place, [FIRST[at] for at in (0, 1, 5, 8, 2, 3, 4, 6, 7, 9, 10)])
    assert 0 < (done.carried or 0) < ALL
    assert len(asked) == ALL - (done.carried or 0)
    assert done.unchanged == ALL - REJECTED


@pytest.mark.parametrize(
    ("failpoint", "second"),
    [("part_stored:5", FIRST), ("normalized_part_listed:2", FIRST), ("normalized_part_listed:2", SECOND)],
)
def test_killed_while_carrying_it_ends_as_if_it_had_not_been(
    branch: Callable[..., Place], failpoint: str, second: tuple[tuple[str, ...], ...], home: Path
) -> None:
    place = twice(branch)
    place.holds(second)
    killed_at(place, failpoint)
    resumed = ingest(place.name, run_id="resumed")
    assert (resumed.state, resumed.carried) == ("done", ALL if second is FIRST else 3)
    assert list((home / "scratch").glob("carry-*")) == []


def is_baseline(connection: Connection, place: Place) -> bool:
    """Whether the next activation of the branch would carry rows."""
    branch = registry.get_branch(connection, place.name)
    held = leases.acquire(connection, branch.branch_id, branch.name, holder="looking", run_id="looking")
    work = chain.snapshot.begin(connection, held, branch, activation_id=None, plan_only=False)
    store = chain.PartStore(settings().store_location)
    work = chain.snapshot.take_snapshot(work, store, batch_size=4).work
    return carry.baseline_of(work, store) is not None


CLOSED = (
    "update ingest.activations set state = '{}', closed_at = now(), done_at = null, committed_at = {}"
    " where activation_id = 1"
)


@pytest.mark.parametrize(
    ("state_now", "committed"),
    [("rolled_back", "committed_at"), ("superseded", "null"), ("failed", "null"), ("blocked", "null")],
)
def test_only_what_is_committed_and_stands_is_a_baseline(
    branch: Callable[..., Place], state_now: str, committed: str
) -> None:
    place = twice(branch)
    with session() as connection:
        assert is_baseline(connection, place)
        connection.execute(CLOSED.format(state_now, committed).encode())
        assert not is_baseline(connection, place)


def test_after_a_rollback_the_activation_before_it_is_the_baseline(branch: Callable[..., Place]) -> None:
    place = twice(branch)
    second = after(place, SECOND)
    with session() as connection:
        known = registry.get_branch(connection, place.name)
        with leases.held(connection, known.branch_id, known.name, run_id="undoing") as lease:
            derive_requests(rollback.undo_all(rollback.begin(connection, lease, known, second.activation_id)))
    done = after(place, FIRST)
    assert (done.carried, done.unchanged + done.updated + done.touched, done.missing) == (ALL, ALL - REJECTED, 0)


def test_what_was_half_applied_is_no_baseline(branch: Callable[..., Place]) -> None:
    place = branch(FIRST)
    killed_at(place, "batch_committed")
    with session() as connection:
        connection.execute("update ingest.activations set state = 'superseded', closed_at = now()")
        assert not is_baseline(connection, place)


def test_what_was_blocked_is_passed_over(branch: Callable[..., Place]) -> None:
    place = twice(branch, limits={"max_reject_ratio": 0.3})
    with pytest.raises(GateBlocked):
        after(place, [*FIRST[:3], *[FIRST[4]] * 5])
    done = after(place, FIRST)
    assert (done.state, done.carried, done.unchanged) == ("done", ALL, ALL - REJECTED)


def test_items_that_another_branch_has_overwritten_are_judged_by_the_live_state(
    branch: Callable[..., Place], asked: list[int]
) -> None:
    place = twice(branch)
    other = branch([[*row[:1], f"{row[1]} of another", *row[2:]] for row in FIRST], name="others", priority=5)
    assert ingest(other.name).updated == ALL - REJECTED
    asked.clear()
    done = after(place, FIRST)
    assert (done.carried, done.stale, done.unchanged, asked) == (ALL, ALL - REJECTED, 0, [])
    with session() as connection:
        assert rows(connection, "select count(*) from core.items where name like '%of another'")[0]["count"] == 9


def test_another_version_of_the_normalizer_carries_nothing(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = twice(branch)
    monkeypatch.setattr(carry, "NORMALIZER_VERSION", "another")
    assert after(place, FIRST).carried == 0


def test_another_spec_carries_nothing(branch: Callable[..., Place]) -> None:
    place = twice(branch)
    with session() as connection:
        registry.apply_branch(connection, spec_of(place.file, locale="de"))
    assert after(place, FIRST).carried == 0
    assert after(place, FIRST).carried == ALL


@pytest.mark.parametrize("asset", ["normalized_items", "branch_snapshot"])
def test_a_damaged_part_of_the_baseline_costs_time_and_nothing_else(
    branch: Callable[..., Place], home: Path, asset: str
) -> None:
    place = twice(branch)
    sorted((home / "parts").glob(f"*/1/{asset}/*.parquet"))[1].write_bytes(b"damaged")
    done = after(place, moved())
    assert (done.inserted, done.unchanged, done.rejected) == (1, ALL - REJECTED, REJECTED)
    assert 0 < (done.carried or 0) < ALL


@pytest.mark.parametrize("asset", ["normalized_items", "branch_snapshot"])
def test_parts_that_another_host_has_are_told_of_once(
    branch: Callable[..., Place], home: Path, caplog: pytest.LogCaptureFixture, asset: str
) -> None:
    place = twice(branch)
    for part in (home / "parts").glob(f"*/1/{asset}/*.parquet"):
        part.unlink()
    done = after(place, moved())
    assert (done.carried, done.inserted, done.unchanged, done.rejected) == (0, 1, ALL - REJECTED, REJECTED)
    assert [told for told in caplog.messages if "normalized" in told] == [
        "3 of 3 parts of activation 1 are not in this store: their rows are normalized again"
    ]


def test_rejects_that_are_gone_are_found_anew(branch: Callable[..., Place]) -> None:
    place = twice(branch)
    with session() as connection:
        connection.execute("delete from ingest.rejects where external_id is null")
    done = after(place, FIRST)
    assert (done.carried, done.rejected) == (0, REJECTED)
