"""What a person is shown of an activation's changes: the fields that differ, and what is new."""

from decimal import Decimal

import pytest

from ingest_project.upsert.changes import Row, differences, sample_inserted, sample_updated
from ingest_project_tests.upsert.making import Source, item


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"name": "a"}, {"name": "a"}, []),
        ({"name": "a"}, {"name": "b"}, [("name", "a", "b")]),
        ({"name": "a"}, {"name": "a", "phone": "+49301"}, [("phone", None, "+49301")]),
        ({"price": Decimal(1)}, {"price": None}, [("price", Decimal(1), None)]),
        ({"attributes": {"x": 1}}, {"attributes": {"x": 1}}, []),
        ({"attributes": {"x": 1, "y": 2}}, {"attributes": {"x": 3, "y": 2}}, [("attributes.x", 1, 3)]),
        ({"attributes": {"x": 1}}, {"attributes": {}}, [("attributes.x", 1, None)]),
        ({}, {"attributes": {"x": 0}}, [("attributes.x", None, 0)]),
        ({"content_hash": "1", "version": 1}, {"content_hash": "2", "version": 2}, []),
        ({"source_updated_at": "2024"}, {"source_updated_at": "2025"}, [("source_updated_at", "2024", "2025")]),
    ],
)
def test_each_field_that_differs(old: Row, new: Row, expected: list[tuple[str, object, object]]) -> None:
    told = differences([("k", old, new)])
    assert [(one["field"], one["old"], one["new"]) for one in told] == expected
    assert {one["external_id"] for one in told} <= {"k"}


def test_what_an_activation_updated(source: Source) -> None:
    line = source.line()
    line.ingest([item(1, "One"), item(2, "Two")])
    work, _ = line.apply([item(1, "One"), item(2, "Two, renamed", at=1), item(3, "Three")])
    told = [(one["external_id"], one["field"], one["old"], one["new"]) for one in sample_updated(work)]
    assert ("2", "name", "Two", "Two, renamed") in told
    assert {key for key, *_ in told} == {"2"}
    (new,) = sample_inserted(work)
    assert (new["external_id"], new["name"]) == ("3", "Three")
    assert None not in new.values()


def test_samples_are_few(source: Source) -> None:
    work, _ = source.line().apply([item(at) for at in range(50)])
    assert len(sample_inserted(work, 8)) == 8
    assert sample_updated(work) == []
