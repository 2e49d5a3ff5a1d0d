"""Any table through Dagster: the documented example, partitions, streams and what is refused."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from ingest_project.defs.table_io_manager import PostgresTables
from ingest_project.postgres.connection import session
from ingest_project_tests.conftest import REPOSITORY

DOCUMENT = REPOSITORY / ".docs" / "any-table.md"
DAYS = dg.StaticPartitionsDefinition(["mon", "tue"])


@pytest.fixture
def tables(fresh_database: str) -> PostgresTables:
    return PostgresTables(url=fresh_database)


def materialized(*assets: dg.AssetsDefinition, tables: PostgresTables, **given: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(list(assets), resources={"tables": tables}, raise_on_error=False, **given)


def counts(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    event = result.asset_materializations_for_node(asset)[0]
    return {name: value.value for name, value in event.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    data = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def test_the_documented_example_runs(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile("\n".join(code), str(DOCUMENT), "exec"), names)
    job = names["defs"].resolve_implicit_global_asset_job_def()
    first, second = job.execute_in_process(), job.execute_in_process()
    assert {name: counts(first, name)["inserted"] for name in ("prices", "dear")} == {"prices": 2, "dear": 1}
    assert {name: counts(second, name)["unchanged"] for name in ("prices", "dear")} == {"prices": 2, "dear": 1}
    with session(fresh_database) as connection:
        assert connection.execute("select sku from dear").fetchall() == [("008",)]


class Stream:
    """What an asset may return in place of a generator."""

    def __iter__(self) -> Iterator[pa.Table]:
        for at in range(3):
            yield pa.table({"id": [at], "name": [f"n{at}"]})


def test_a_stream_is_written_and_read_as_arrow(tables: PostgresTables) -> None:
    @dg.asset(io_manager_key="tables", metadata={"key": "id", "table": "streamed"})
    def numbers() -> Stream:
        return Stream()

    @dg.asset
    def total(numbers: pa.Table) -> int:
        return numbers.num_rows

    result = materialized(numbers, total, tables=tables)
    assert result.success
    assert result.output_for_node("total") == 3
    assert counts(result, "numbers")["dagster/table_name"] == "public.streamed"


def _days(rows: pd.DataFrame) -> dg.AssetsDefinition:
    @dg.asset(
        partitions_def=DAYS,
        io_manager_key="tables",
        metadata={"key": ["day", "id"], "partition_column": "day"},
    )
    def visits(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return rows.assign(day=rows["day"].fillna(context.partition_key))

    return visits


@dg.asset(partitions_def=DAYS)
def seen(visits: pd.DataFrame) -> int:
    return len(visits)


def test_a_partition_reads_back_its_own_rows(tables: PostgresTables) -> None:
    asset = _days(pd.DataFrame({"id": [1, 2], "day": [None, None]}))
    for day in ("mon", "tue"):
        result = materialized(asset, seen, tables=tables, partition_key=day)
        assert result.output_for_node("seen") == 2
        assert counts(result, "visits")["dagster/partition_row_count"] == 2


def test_rows_of_another_partition_are_refused(tables: PostgresTables) -> None:
    asset = _days(pd.DataFrame({"id": [1, 2], "day": [None, "tue"]}))
    result = materialized(asset, tables=tables, partition_key="mon")
    assert "rows of partition tue in partition mon" in failure(result)


def test_an_asset_without_a_key_is_told_how_to_declare_one(tables: PostgresTables) -> None:
    @dg.asset(io_manager_key="tables")
    def keyless() -> pd.DataFrame:
        return pd.DataFrame({"id": [1]})

    assert 'metadata={"key": ["id"]}' in failure(materialized(keyless, tables=tables))


def test_a_missing_table_is_made_only_where_that_is_wanted(fresh_database: str) -> None:
    @dg.asset(io_manager_key="tables", metadata={"key": "id"})
    def numbers() -> pd.DataFrame:
        return pd.DataFrame({"id": [1]})

    result = materialized(numbers, tables=PostgresTables(url=fresh_database, create=False))
    assert "there is no table public.numbers" in failure(result)


def test_no_password_is_shown(fresh_database: str, tmp_path: Path) -> None:
    @dg.asset(io_manager_key="tables", metadata={"key": "id"})
    def numbers() -> pd.DataFrame:
        return pd.DataFrame({"id": [1]})

    wrong = "postgresql://somebody:open-sesame@127.0.0.1:1/nowhere"
    result = materialized(numbers, tables=PostgresTables(url=wrong))
    assert "open-sesame" not in failure(result)
    assert "cannot be reached" in failure(result)
