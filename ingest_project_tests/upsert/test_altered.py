"""A row changed by hand is found by its hashes, whatever it holds; a row that an ingest wrote never is."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.branches.spec import parse_spec
from ingest_project.normalize.attributes import attributes
from ingest_project.postgres.connection import session
from ingest_project.upsert.altered import altered_items, repair_hashes
from ingest_project_tests.conftest import _database
from ingest_project_tests.upsert.making import Source, item

RICH = {
    "description": 'two\nlines, "quoted"; \\. and, a comma',
    "category": "café",
    "latitude": 52.5163,
    "longitude": -0.000001,
    "price": "12.50",
    "currency": "EUR",
    "attributes": '{"a":"1","b":{"x":[1,2.0,true,null]},"é":""}',
}


def rich(key: object) -> dict[str, object]:
    from decimal import Decimal  # noqa: PLC0415 - of this row only

    return {**item(key), **RICH, "price": Decimal("12.50")}


@pytest.fixture(scope="module")
def shared(server: str, template: str) -> Iterator[Source]:
    """A database of these tests' own: they look at all items."""
    with _database(server, "altered", template) as url, session(url) as opened:
        yield Source(opened)


@pytest.fixture
def alone(shared: Source) -> Iterator[Source]:
    """A new source in it, all others emptied."""
    shared.connection.execute("delete from core.items")
    return Source(shared.connection)


def test_what_an_ingest_wrote_is_not_altered(alone: Source) -> None:
    alone.line().ingest([rich(1), item(2), item(3, 'a "name", with, commas')])
    assert list(altered_items(alone.connection)) == []


@pytest.mark.parametrize(
    ("change", "embedded"),
    [
        ("name = 'by hand'", True),
        ("description = null", True),
        ("phone = '+4930123456'", False),
        ("latitude = 52.5164", False),
        ("price = 12.51", False),
        ('attributes = attributes || \'{"a": "2"}\'', False),
        ("attributes = '{}'", False),
        ("content_hash = gen_random_uuid()", False),
        ("embed_hash = gen_random_uuid()", True),
    ],
)
def test_a_change_by_hand_is_found_and_named(alone: Source, change: str, embedded: bool) -> None:
    line = alone.line()
    line.ingest([rich(1), rich(2)])
    alone.connection.execute(f"update core.items set {change} where external_id = '2'".encode())
    (found,) = altered_items(alone.connection, size=1)
    assert (found.external_id, found.branch, found.embedded) == ("2", line.name, embedded)


def test_issues_and_provenance_are_nobodys_hash(alone: Source) -> None:
    alone.line().ingest([item(1)])
    alone.connection.execute("update core.items set issues = '[1]', priority = 9, updated_at = now()")
    assert list(altered_items(alone.connection)) == []


def test_what_is_deleted_says_nothing(alone: Source) -> None:
    alone.line().ingest([item(1)])
    alone.connection.execute("update core.items set name = 'by hand', deleted_at = now()")
    assert list(altered_items(alone.connection)) == []


def test_one_branch_is_looked_at_where_one_is_named(alone: Source) -> None:
    low, high = alone.line(1), alone.line(2)
    low.ingest([item(1)])
    high.ingest([item(2)])
    alone.connection.execute("update core.items set name = 'by hand'")
    branch_id = alone.items()["2"]["branch_id"]
    assert [found.external_id for found in altered_items(alone.connection, branch_id)] == ["2"]


def test_mended_rows_are_put_right_by_the_next_ingest(alone: Source) -> None:
    line = alone.line()
    line.ingest([item(1), item(2)])
    alone.connection.execute("update core.items set name = 'by hand' where external_id = '1'")
    assert line.ingest([item(1), item(2)]).counts.unchanged == 2, "the stored hash is trusted"
    assert repair_hashes(alone.connection, list(altered_items(alone.connection))) == 1
    assert list(altered_items(alone.connection)) == []
    assert line.ingest([item(1), item(2)]).counts.updated == 1
    assert alone.items()["1"]["name"] == "Item 1"


def test_a_row_that_was_written_meanwhile_is_left_alone(alone: Source) -> None:
    line = alone.line()
    line.ingest([item(1)])
    alone.connection.execute("update core.items set name = 'by hand'")
    found = list(altered_items(alone.connection))
    alone.connection.execute("update core.items set content_hash = gen_random_uuid()")
    line.ingest([item(1, "Newer", at=1)])
    assert repair_hashes(alone.connection, found) == 0
    assert list(altered_items(alone.connection)) == []


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e16, 1e17, -1e22, 1e-7, 10**17, 123456789012345678, -0.0, 1e300]),
)
VALUES = st.one_of(NUMBERS, st.booleans(), st.text(max_size=5), st.lists(NUMBERS, max_size=2))


@settings(max_examples=25)
@given(rows=st.lists(VALUES, min_size=1, max_size=4))
def test_attributes_of_every_kind_come_back_from_postgres_as_they_were_hashed(
    shared: Source, rows: list[object]
) -> None:
    shared.connection.execute("delete from core.items")
    spec = parse_spec(
        {"name": "n", "source": "s", "location": "/x.csv", "key": "id", "mapping": {"name": "n"}, "unmapped": "keep"},
        origin="test",
    )
    made: list[str] = []
    for value in rows:
        try:
            column = pa.array([value])
        except (OverflowError, pa.ArrowInvalid):
            continue
        made += attributes(pa.table({"other": column}), spec)[0].to_pylist()
    alone = Source(shared.connection)
    alone.line().ingest([item(at, attributes=text) for at, text in enumerate(made)])
    assert list(altered_items(alone.connection)) == []
