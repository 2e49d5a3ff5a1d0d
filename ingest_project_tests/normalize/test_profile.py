"""What columns hold, told exactly where values are few and approximately where they are not; and what moved."""

import json
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given as examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest_project.item import item_schema
from ingest_project.normalize import profile
from ingest_project.normalize.profile import drift, null_counts, profile_parts
from ingest_project_tests.normalize.pages import part

ROWS = 90
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def stored(folder: Path, *parts: dict[str, Sequence[Any]]) -> list[str]:
    paths: list[str] = []
    for number, given in enumerate(parts):
        path = folder / f"{number}.parquet"
        pq.write_table(part(given).items, path)
        paths.append(str(path))
    return paths


def cities(*names: str | None) -> dict[str, Sequence[Any]]:
    return {"locality": list(names), "latitude": [None] * len(names), "longitude": [None] * len(names)}


def column(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in told["columns"] if one["column"] == name)


def test_nulls_extremes_and_frequent_values_over_all_parts(tmp_path: Path) -> None:
    paths = stored(tmp_path, cities("Oslo", "Rome", "Rome", None), cities("Zagreb", None, "Rome"))
    told = profile_parts(paths).to_json()
    assert told["rows"] == 7
    assert column(told, "locality") == {
        **{"column": "locality", "nulls": 2, "distinct": 3, "approximate": False, "min": "Oslo", "max": "Zagreb"},
        "top": [("Rome", 3)],
    }
    assert column(told, "phone") == {
        **{"column": "phone", "nulls": 7, "distinct": 0, "approximate": False, "min": None, "max": None},
        "top": [],
    }
    assert json.loads(json.dumps(told))["rows"] == 7


def items(**given: Sequence[Any]) -> pa.Table:
    """Items of which these columns only are looked at."""
    rows = len(next(iter(given.values())))
    return pa.table(
        [pa.array(given.get(one.name, [None] * rows), one.type) for one in item_schema()], schema=item_schema()
    )


@contextmanager
def files(*parts: pa.Table) -> Generator[list[str]]:
    with TemporaryDirectory() as folder:
        paths = [f"{folder}/{number}.parquet" for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            pq.write_table(part, path)
        yield paths


@contextmanager
def counting(values: int) -> Generator[None]:
    """So many different values of a column are counted one by one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(profile, "_MAX_COUNTED", values)
        yield


CITIES = st.lists(st.one_of(st.none(), st.sampled_from("ABCDEFGH")), min_size=1, max_size=12)


@hypothesis_settings(max_examples=30)
@examples(st.lists(CITIES, min_size=1, max_size=4), st.integers(1, 9))
def test_figures_are_those_of_all_rows_however_many_are_counted(parts: list[list[str | None]], most: int) -> None:
    seen = Counter(city for part in parts for city in part if city)
    with files(*(items(locality=part) for part in parts)) as paths, counting(most):
        told = column(profile_parts(paths).to_json(), "locality")
    assert told["approximate"] == (len(seen) > most)
    assert told["nulls"] == sum(city is None for part in parts for city in part)
    assert dict(told["top"]).items() <= seen.items(), "what is shown as frequent is counted in all rows"
    if not told["approximate"]:
        assert told["distinct"] == len(seen)
        several = [pair for pair in seen.items() if pair[1] > 1]
        assert told["top"] == sorted(several, key=lambda pair: (-pair[1], pair[0]))[:5]


def test_of_many_values_the_number_is_an_estimate_and_the_frequent_ones_are_counted() -> None:
    first = ["Oslo", "Oslo", *(f"City {at}" for at in range(400))]
    with files(items(locality=first), items(locality=["Oslo", None])) as paths, counting(100):
        told = column(profile_parts(paths).to_json(), "locality")
    assert (told["approximate"], told["top"]) == (True, [("Oslo", 3)])
    assert 300 < told["distinct"] <= 403


def test_extremes_that_a_file_does_not_tell_are_left_out() -> None:
    with files(items(description=["short"]), items(description=["long" * 2000])) as paths:
        told = column(profile_parts(paths).to_json(), "description")
    assert (told["nulls"], told["distinct"], told["min"], told["max"]) == (0, 2, None, None)


def test_an_estimate_is_never_more_than_there_are_rows() -> None:
    with files(items(locality=[f"City {at}" for at in range(1000)])) as paths, counting(1):
        assert column(profile_parts(paths).to_json(), "locality")["distinct"] <= 1000


@pytest.mark.parametrize(
    ("name", "value", "others", "told"),
    [
        ("latitude", 1.5, [2.5, 3.5], "1.5"),
        ("price", "1.5000", ["2.5000", "3.5000"], "1.5000"),
        ("source_updated_at", NOON, [datetime(2024, 1, 2, tzinfo=UTC), None], "2024-01-01 12:00:00+00:00"),
    ],
)
@pytest.mark.parametrize("most", [1, 100])
def test_numbers_and_times_are_counted_too(name: str, value: Any, others: list[Any], told: str, most: int) -> None:
    values = pa.array([value, value, *others]).cast(item_schema().field(name).type)
    part = items(row=range(len(values)))
    with files(part.set_column(part.column_names.index(name), part.field(name), values)) as paths, counting(most):
        assert column(profile_parts(paths).to_json(), name)["top"] == [(told, 2)]


def test_issues_are_counted_by_field_and_code(tmp_path: Path) -> None:
    given = {"country_code": ["Germany", "Italy", "DE"], "locality": [" Rome", "Oslo", "Oslo"]}
    told = profile_parts(stored(tmp_path, given)).to_json()
    assert told["issues"] == [
        {"field": "country_code", "code": "country_recognised", "rows": 2},
        {"field": "locality", "code": "whitespace_folded", "rows": 1},
    ]


def test_nulls_are_counted_without_reading(tmp_path: Path) -> None:
    paths = stored(tmp_path, cities("Oslo", None), cities(None))
    found = null_counts(paths)
    assert [found[name] for name in ("locality", "name", "phone", "source_updated_at")] == [2, 0, 3, 3]
    assert set(null_counts([]).values()) == {0}


def test_no_parts_are_no_rows() -> None:
    assert profile_parts([]).to_json() == {"rows": 0, "columns": [], "issues": []}


def test_nothing_moved_between_a_profile_and_itself(tmp_path: Path) -> None:
    told = profile_parts(stored(tmp_path, cities("Oslo", "Rome", None))).to_json()
    assert drift(told, told) == []


def test_what_moved_is_told(tmp_path: Path) -> None:
    many = [f"City {at}" for at in range(ROWS)]
    before = profile_parts(stored(tmp_path, cities(*many))).to_json()
    now = profile_parts(stored(tmp_path, cities(*([None] * 45), *([" Rome"] * 45)))).to_json()
    values = f"{column(before, 'locality')['distinct']}"
    assert drift(before, now) == [
        {"column": "locality", "what": "null", "was": "0.0%", "now": "50.0%"},
        {"column": "locality", "what": "different values", "was": values, "now": "1"},
        {"column": "locality", "what": "whitespace_folded", "was": "0.0%", "now": "50.0%"},
    ]


def test_more_rows_of_the_same_kind_are_no_drift(tmp_path: Path) -> None:
    before = profile_parts(stored(tmp_path, cities(*(f"City {at}" for at in range(30))))).to_json()
    now = profile_parts(stored(tmp_path, cities(*(f"City {at}" for at in range(90))))).to_json()
    assert drift(before, now) == []
    assert drift(profile_parts([]).to_json(), now) == []


def test_figures_of_a_sample_are_not_held_against_those_of_all_rows(tmp_path: Path) -> None:
    now = profile_parts(stored(tmp_path, cities(*(f"City {at}" for at in range(90))))).to_json()
    nulls = {**column(now, "phone"), "nulls": 0}
    few = [{**one, "distinct": 1} if one["column"] == "locality" else one for one in now["columns"]]
    before = {**now, "columns": [nulls if one["column"] == "phone" else one for one in few]}
    moved = {"column": "phone", "what": "null", "was": "0.0%", "now": "100.0%"}
    assert drift({**before, "sampled": 10}, now) == [moved]
    assert moved in drift({**before, "sampled": 90}, now)
    assert len(drift({**before, "sampled": 90}, now)) == 2, "a sample of all rows is all rows"


def test_what_is_estimated_is_told_as_such(tmp_path: Path) -> None:
    before = profile_parts(stored(tmp_path, cities(*(["Rome"] * 90)))).to_json()
    with counting(10):
        now = profile_parts(stored(tmp_path, cities(*(f"City {at}" for at in range(90))))).to_json()
    (moved,) = drift(before, now)
    assert (moved["was"], moved["now"]) == ("1", f"~{column(now, 'locality')['distinct']}")
