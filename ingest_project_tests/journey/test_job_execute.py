"""The brief's test strategy: the job against a small, known dataset from a branch, core.items row by row."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_project.branches import registry
from ingest_project.branches.spec import parse_spec
from ingest_project.defs.home import dagster_home
from ingest_project.postgres.connection import session
from ingest_project_tests.house.test_architecture import REPOSITORY
from ingest_project_tests.journey.conftest import write_csv
from ingest_project_tests.journey.states import rows

HEADER = (
    *("id", "title", "kind", "street", "no", "city", "zip", "region", "country", "lat", "lon", "phone", "web"),
    *("price", "currency", "changed", "colour"),
)
KNOWN = (
    ("b1", "Café Einstein", "cafe", "Kurfürstenstraße", "58", "Berlin", "10785", "Berlin", "Deutschland", "52.5021",
     "13.3572", "030 2639190", "www.cafeeinstein.com", "4.50", "€", "2024-05-01T10:00:00+02:00", "red"),
    ("b2", "  Zeitz  MOCAA ", "museum", "Silo District", "", "Cape Town", "8001", "", "ZA", "-33.9077",
     "18.4229", "+27 87 350 4777", "https://zeitzmocaa.museum", "", "", "2024-05-02", ""),
    ("b3", "Etosha", "park", "", "", "Okaukuejo", "", "", "NA", "0", "0", "", "", "", "", "", "007"),
    ("", "nameless key", "", "", "", "", "", "", "", "", "", "", "", "", "", "", ""),
    ("b1", "Café Einstein (old)", "cafe", "", "", "Berlin", "", "", "DE", "", "", "", "", "", "", "2020-01-01", ""),
)  # fmt: skip
MAPPING = {
    "name": "title", "category": "kind", "street": "street", "house_number": "no", "locality": "city",
    "postal_code": "zip", "region_name": "region", "country_code": "country", "latitude": "lat", "longitude": "lon",
    "phone": "phone", "website_url": "web", "price": "price", "currency": "currency", "status": {"constant": "open"},
}  # fmt: skip
FIELDS = (
    *("name", "category", "street", "house_number", "locality", "postal_code", "region_name", "region_code"),
    *("country_code", "latitude", "longitude", "phone", "website_url", "price", "currency", "status"),
)
EXPECTED: dict[str, tuple[Any, ...]] = {
    "b1": ("Café Einstein", "cafe", "Kurfürstenstraße", "58", "Berlin", "10785", "Berlin", "DE-BE", "DE", 52.5021,
           13.3572, "+49302639190", "https://www.cafeeinstein.com", Decimal("4.5000"), "EUR", "open"),
    "b2": ("Zeitz MOCAA", "museum", "Silo District", None, "Cape Town", "8001", None, None, "ZA", -33.9077,
           18.4229, "+27873504777", "https://zeitzmocaa.museum", None, None, "open"),
    "b3": ("Etosha", "park", None, None, "Okaukuejo", None, None, None, "NA", None,
           None, None, None, None, None, "open"),
}  # fmt: skip
ISSUES = {
    "b1": {"country_recognised", "phone_reformatted", "url_scheme_added", "currency_recognised"},
    "b2": {"whitespace_folded", "phone_reformatted"},
    "b3": {"null_island", "time_missing"},
}
# The branch's name is a Dagster partition key, and goes through a shell, JSON and SQL on its way.
BRANCH = "berlin & co/'2024'"


@pytest.fixture
def known(fresh_database: str, home: Path, tmp_path: Path) -> Path:
    """The branch, registered, and its file."""
    file = write_csv(tmp_path / "known.csv", KNOWN, HEADER)
    given = {"name": BRANCH, "source": "known", "location": str(file), "key": "id", "updated_at": "changed"}
    with session() as connection:
        registry.apply_branch(connection, parse_spec({**given, "mapping": MAPPING}, origin="test"))
    return file


def dagster(*words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`dagster` with these words, on this project's instance."""
    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home())}
    extra = ["-c", str(config)] if config else []
    command = [sys.executable, "-m", "dagster", *words, *extra]
    return subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False
    )


def execute(config: Path | None = None) -> subprocess.CompletedProcess[str]:
    tags = json.dumps({"dagster/partition": BRANCH})
    return dagster(
        *("job", "execute", "-m", "ingest_project.definitions", "-j", "ingest_branch", "--tags", tags), config=config
    )


def add_partition() -> None:
    from dagster import DagsterInstance  # noqa: PLC0415 - seconds that other tests of this worker need not wait for

    with DagsterInstance.from_config(str(dagster_home())) as instance:
        instance.add_dynamic_partitions("branch", [BRANCH])


def test_the_job_fills_core_items_and_asks_for_embeddings(known: Path) -> None:
    add_partition()
    done = execute()
    assert done.returncode == 0, done.stderr
    with session() as connection:
        check_items(rows(connection, "select * from core.items_with_provenance"), known)
        check_requests(rows(connection, "select r.*, i.external_id, i.embed_hash from core.embedding_requests r "
                                        "join core.items i using (item_id)"))  # fmt: skip
        rejected = rows(connection, "select \"row\", errors -> 0 ->> 'code' as code from ingest.rejects order by 1")
        activation = rows(connection, "select * from ingest.activations")[0]
    assert [(one["row"], one["code"]) for one in rejected] == [(4, "key_missing"), (5, "duplicate_key")]
    assert (activation["state"], activation["rows_read"], activation["valid"]) == ("done", 5, 3)


def check_items(found: list[dict[str, Any]], file: Path) -> None:
    items = {row["external_id"]: row for row in found}
    assert {key: tuple(row[field] for field in FIELDS) for key, row in items.items()} == EXPECTED
    assert {key: {issue["code"] for issue in row["issues"]} for key, row in items.items()} == ISSUES
    assert {key: row["attributes"] for key, row in items.items()} == {"b1": {"colour": "red"}, "b2": {},
                                                                      "b3": {"colour": "007"}}  # fmt: skip
    assert items["b1"]["source_updated_at"].isoformat() == "2024-05-01T08:00:00+00:00"
    assert items["b3"]["source_updated_at"] is None
    for row in items.values():
        assert (row["source"], row["branch"], row["version"], row["part"]) == ("known", BRANCH, 1, 0)
        assert row["run_id"]
        assert row["files"][0]["path"] == str(file)
        assert len(row["files"][0]["sha256"]) == 64


def check_requests(found: list[dict[str, Any]]) -> None:
    assert sorted(row["external_id"] for row in found) == ["b1", "b2", "b3"]
    assert all(row["status"] in ("p", b"p") and row["content_hash"] == row["embed_hash"] for row in found)


def test_a_dry_run_by_config_then_the_plan_then_a_refusal(known: Path, tmp_path: Path) -> None:
    add_partition()
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"resources": {"ingest": {"config": {"dry_run": True, "batch_size": 2}}}}))
    assert execute(config).returncode == 0
    with session() as connection:
        assert rows(connection, "select count(*) from core.items")[0]["count"] == 0
        assert rows(connection, "select state from ingest.activations")[0]["state"] == "planned"
        assert rows(connection, "select count(*) from ingest.parts")[0]["count"] == 6
    known.unlink()
    assert execute().returncode == 0, "what was read for the plan is enough"
    with session() as connection:
        assert rows(connection, "select count(*) from core.items")[0]["count"] == 3
    refused = execute()
    assert refused.returncode == 1
    assert "there is nothing at" in refused.stderr + refused.stdout


def test_the_definitions_load_in_dagsters_own_tools(fresh_database: str, home: Path) -> None:
    done = dagster("definitions", "validate", "-w", "workspace.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
