"""What columns hold, told exactly where it is cheap and approximately where it is not; and what moved."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ingest_project.normalize.profile import drift, null_counts, profiled
from ingest_project_tests.normalize.pages import part

ROWS = 90


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
    told = profiled(paths).to_json()
    assert (told["rows"], told["sampled"]) == (7, 7)
    assert column(told, "locality") == {
        **{"column": "locality", "nulls": 2, "distinct": 3, "min": "Oslo", "max": "Zagreb"},
        "top": [("Rome", 3)],
    }
    assert column(told, "phone") == {
        **{"column": "phone", "nulls": 7, "distinct": 0, "min": None, "max": None},
        "top": [],
    }
    assert json.loads(json.dumps(told))["rows"] == 7


def test_issues_are_counted_by_field_and_code(tmp_path: Path) -> None:
    given = {"country_code": ["Germany", "Italy", "DE"], "locality": [" Rome", "Oslo", "Oslo"]}
    told = profiled(stored(tmp_path, given)).to_json()
    assert told["issues"] == [
        {"field": "country_code", "code": "country_recognised", "rows": 2},
        {"field": "locality", "code": "whitespace_folded", "rows": 1},
    ]


def test_nulls_are_counted_without_reading(tmp_path: Path) -> None:
    paths = stored(tmp_path, cities("Oslo", None), cities(None))
    assert null_counts(paths, ["locality", "name", "phone"]) == {"locality": 2, "name": 0, "phone": 3}
    assert null_counts([], ["phone"]) == {"phone": 0}


def test_no_parts_are_no_rows() -> None:
    assert profiled([]).to_json() == {"rows": 0, "sampled": 0, "columns": [], "issues": []}


def test_nothing_moved_between_a_profile_and_itself(tmp_path: Path) -> None:
    told = profiled(stored(tmp_path, cities("Oslo", "Rome", None))).to_json()
    assert drift(told, told) == []


def test_what_moved_is_told(tmp_path: Path) -> None:
    many = [f"City {at}" for at in range(ROWS)]
    before = profiled(stored(tmp_path, cities(*many))).to_json()
    now = profiled(stored(tmp_path, cities(*([None] * 45), *([" Rome"] * 45)))).to_json()
    values = f"{column(before, 'locality')['distinct']}"
    assert drift(before, now) == [
        {"column": "locality", "what": "null", "was": "0.0%", "now": "50.0%"},
        {"column": "locality", "what": "different values", "was": values, "now": "1"},
        {"column": "locality", "what": "whitespace_folded", "was": "0.0%", "now": "50.0%"},
    ]


def test_more_rows_of_the_same_kind_are_no_drift(tmp_path: Path) -> None:
    before = profiled(stored(tmp_path, cities(*(f"City {at}" for at in range(30))))).to_json()
    now = profiled(stored(tmp_path, cities(*(f"City {at}" for at in range(90))))).to_json()
    assert drift(before, now) == []
    assert drift(profiled([]).to_json(), now) == []
