"""Where Dagster lives: a folder of ours with the shipped settings, or the one that DAGSTER_HOME names."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from ingest_project.defs.home import dagster_home
from ingest_project.settings import settings

SHIPPED = files("ingest_project.defs").joinpath("dagster.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _no_home_of_dagster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    yield


def test_it_is_made_with_the_shipped_settings(home: Path) -> None:
    assert dagster_home() == home / "dagster"
    assert [file.name for file in dagster_home().iterdir()] == ["dagster.yaml"]
    assert (home / "dagster" / "dagster.yaml").read_text(encoding="utf-8") == SHIPPED


def test_settings_of_an_older_version_are_replaced_and_others_files_stay(home: Path) -> None:
    kept = dagster_home() / "logs"
    kept.mkdir()
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: true}\n", encoding="utf-8")
    assert (dagster_home() / "dagster.yaml").read_text(encoding="utf-8") == SHIPPED
    assert kept.is_dir()


def test_settings_that_are_there_already_are_not_written_again(home: Path) -> None:
    before = (dagster_home() / "dagster.yaml").stat()
    after = (dagster_home() / "dagster.yaml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_home_of_ones_own_is_used_as_it_is(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    monkeypatch.setenv("DAGSTER_HOME", str(mine))
    assert dagster_home() == mine
    assert not mine.exists()
    assert not (home / "dagster").exists()


def test_it_is_absolute_as_dagster_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INGEST_HOME", "here")
    settings.cache_clear()
    try:
        assert dagster_home() == tmp_path / "here" / "dagster"
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_many_may_make_it_at_once_and_none_reads_half_of_it(home: Path) -> None:
    def make(_: int) -> str:
        return (dagster_home() / "dagster.yaml").read_text(encoding="utf-8")

    for _ in range(20):
        (dagster_home() / "dagster.yaml").unlink()
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(make, range(8))) == {SHIPPED}
    assert [file.name for file in (home / "dagster").iterdir()] == ["dagster.yaml"], "nothing half done is left"


def test_the_shipped_settings_keep_refusals_final_and_runs_of_one_branch_apart() -> None:
    told = yaml.safe_load(SHIPPED)
    assert told["run_retries"]["retry_on_asset_or_op_failure"] is False
    (limit,) = told["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit == {"key": "dagster/partition", "limit": 1, "value": {"applyLimitPerUniqueValue": True}}
    assert told["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
