import os
from pathlib import Path

import pyarrow.compute as pc
import pytest

from ingest_project.extract import preflight
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, table_of

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("INGEST_REAL_DATA", ROOT.parent / "shared" / "data")) / "ourairports"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}")


@pytest.mark.parametrize(("date", "rows"), [("2021-11-02", 11_021), ("2025-02-16", 11_016), ("2026-07-30", 11_008)])
def test_navaids(date: str, rows: int, spec: MakeSpec) -> None:
    table = table_of(pages_of(spec(DATA / f"navaids_{date}.csv"), 1000))
    assert table.num_rows == rows
    assert table["__malformed"].null_count == rows
    assert pc.sum(pc.equal(table["iso_country"], "NA")).as_py() == 15


def test_a_glob_of_two_dates(spec: MakeSpec) -> None:
    pages = pages_of(spec(DATA / "regions_*.csv"), 5000)
    assert [page.table.num_rows for page in pages] == [5000, 3942 + 3987 - 5000]


def test_navaids_have_no_title(spec: MakeSpec) -> None:
    with pytest.raises(preflight.ColumnsMissing, match="has no column 'nmae' \\(did you mean 'name'"):
        preflight.check(spec(DATA / "navaids_2021-11-02.csv", mapping={"name": "nmae"}))
