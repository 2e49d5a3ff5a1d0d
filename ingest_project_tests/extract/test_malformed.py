"""Malformed rows among good ones: in their places, however many they are."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.extract import malformed
from ingest_project.extract.source import MALFORMED

TEXTS = [("id", pa.string()), ("name", pa.string())]


@given(st.lists(st.sampled_from(["1,a", "2", "3,c,d"]), min_size=1, max_size=30), st.integers(0, 9))
def test_malformed_rows_stand_where_they_stood_be_they_few_or_many(lines: list[str], base: int) -> None:
    good = [line.split(",") for line in lines if line == "1,a"]
    table = pa.table({"id": [one[0] for one in good], "name": [one[1] for one in good]}, pa.schema(TEXTS))
    table = table.append_column(MALFORMED, pa.nulls(len(good), pa.string()))
    bad = [(base + at, line) for at, line in enumerate(lines) if line != "1,a"]
    expected = [line if line != "1,a" else None for line in lines]
    for few in (0, len(lines)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(malformed, "_FEW", few)
            found = malformed.insert_malformed(table, bad, base)
        found.validate(full=True)
        assert found[MALFORMED].to_pylist() == expected
        assert found["id"].to_pylist() == [None if line else "1" for line in expected]
