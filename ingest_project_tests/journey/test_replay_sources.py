"""Replays of what no CSV file said: typed columns, nested values, numbers as spelled, and rows that were cut."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.branches import registry
from ingest_project.branches.activations import Activation
from ingest_project.branches.spec import parse_spec
from ingest_project.extract import jsonl
from ingest_project.extract.store import PartStore
from ingest_project.normalize import replay
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.torture import chain
from ingest_project_tests.journey import replaying
from ingest_project_tests.journey.conftest import FIRST, MAPPING, Place, Ran, write_csv, write_spec
from ingest_project_tests.journey.replaying import live, marks, told

TYPED = {
    "rooms": pa.array([3, None, 5], pa.int32()),
    "score": pa.array([0.1, 2.0, 1e300]),
    "open": pa.array([True, False, None]),
    "tax": pa.array([Decimal("1.50"), Decimal("0.00"), None], pa.decimal128(9, 2)),
    "since": pa.array([date(2024, 2, 29), None, date(1, 1, 1)]),
    "seen": pa.array([datetime(2024, 1, 1, 12, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
    "tags": pa.array([["a", "ü"], [], None]),
    "more": pa.array([{"x": 1, "y": [1.5]}, None, {"x": None, "y": []}]),
    "raw": pa.array([b"\xff\x00", b"text", None]),
    "price": pa.array([19.9, 20.0, 0.30000000000000004]),
    "kind": pa.array(["inn", "", "inn"]).dictionary_encode(),
}


def parquet(path: Path) -> None:
    named = {"id": pa.array([1, 2, 3], pa.int64()), "name": pa.array([None, "", "Gamma"])}
    pq.write_table(pa.table({**named, **TYPED}), path)


def json_lines(path: Path) -> None:
    lines = (
        '{"id": 9007199254740993, "name": null, "price": 19.90, "rooms": 3, "open": true, "tags": ["a", {"b": 1.0}]}',
        '{"id": 2, "name": " ", "price": 20, "rooms": 1e3, "open": null, "late": {"x": "\\u00fc"}, "tags": []}',
        '{"id": 3, "name": "Gamma", "price": "20,50", "rooms": null}',
        '{"id": 4, "name": ',
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def apply(path: Path, name: str, *, mended: bool, **more: object) -> None:
    named = {"column": "name", "default": "Unnamed"} if mended else "name"
    mapping = {"name": named, "price": "price", "currency": {"constant": "EUR"}}
    given = {"name": name, "source": name, "location": str(path), "key": "id", "mapping": mapping}
    spec = parse_spec({**given, "limits": {"max_reject_ratio": 1}, **more}, origin="test")
    with session() as connection:
        registry.apply_branch(connection, spec)


def prune(done: Activation) -> None:
    with session() as connection:
        connection.execute("delete from ingest.parts where activation_id = %s", (done.activation_id,))
    PartStore(settings().store_location).drop(done.branch_id, done.activation_id)


@pytest.mark.parametrize(("write", "suffix"), [(parquet, "parquet"), (json_lines, "jsonl")])
def test_types_are_what_they_were(
    database: str, home: Path, tmp_path: Path, write: Callable[[Path], None], suffix: str
) -> None:
    file = tmp_path / f"rows.{suffix}"
    write(file)
    right, wrong = f"right {uuid4().hex[:8]}", f"wrong {uuid4().hex[:8]}"
    apply(file, right, mended=True)
    chain.ingest(right)
    apply(file, wrong, mended=False)
    assert chain.ingest(wrong).valid == 1
    apply(file, wrong, mended=True)
    assert replaying.replay(wrong).inserted == 2
    assert live(wrong) == live(right)
    left = [row for (_, row), by in marks(wrong).items() if by is None]
    assert left == ([4] if suffix == "jsonl" else []), "the line that is no JSON still fails"


@pytest.mark.parametrize("gone", [False, True])
def test_nested_values_and_keys_that_came_late_are_what_they_were(
    database: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    lines = (
        '{"id": 1, "name": null, "address": {"city": "Ulm"}, "open": true}',
        '{"id": 2, "name": "", "address": {"city": "Bonn", "lines": [{"a": 1.50}]}, "late": {"x": [1, null], "y": 0}}',
        '{"id": 3, "name": "Gamma", "late": {"x": 7.0}}',
    )
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(jsonl, "BLOCK", len(lines[0]) + 1)
    monkeypatch.setattr(jsonl, "HEAD_BYTES", 1)
    right, wrong = f"right {uuid4().hex[:8]}", f"wrong {uuid4().hex[:8]}"
    apply(file, right, mended=True, nested="flatten")
    chain.ingest(right)
    apply(file, wrong, mended=False, nested="flatten")
    first = chain.ingest(wrong)
    assert first.pin and first.pin["columns"] == ["id", "name", "address.city", "open", "price", "__more"]
    if gone:
        prune(first)
    apply(file, wrong, mended=True, nested="flatten")
    assert replaying.replay(wrong).inserted == 2
    assert live(wrong) == live(right)
    found = {one["external_id"]: one["attributes"] for one in live(wrong)}["2"]
    assert found == {"address.city": "Bonn", "address.lines": '[{"a":1.50}]', "late.x": "[1,null]", "late.y": "0"}


def test_the_parts_gone_what_the_reject_says_is_replayed_and_that_is_told(
    database: str, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, name = tmp_path / "rows.parquet", f"pruned {uuid4().hex[:8]}"
    parquet(file)
    apply(file, name, mended=False)
    first = chain.ingest(name)
    prune(first)
    apply(file, name, mended=True)
    assert replaying.replay(name).inserted == 2
    found = {one["external_id"]: one["attributes"] for one in live(name)}
    assert (found["1"]["rooms"], found["1"]["tags"]) == ("3", '["a","ü"]'), "as text: the reject has no types"
    told = f"2 rows of activation {first.activation_id} are replayed as their rejects tell them, as text"
    assert told in caplog.text


def test_rows_that_were_cut_are_left_and_told(command: Callable[..., Ran], tmp_path: Path) -> None:
    name, file = f"cut {uuid4().hex[:8]}", tmp_path / "rows.csv"
    spec = {"name": name, "location": str(file), "limits": {"max_reject_ratio": 1}}
    long = ("2", "", "Rome", "IT", "", "", "2024-01-01T00:00:00Z", "x" * 70_000)
    good = ("1", "Alpha", "Rome", "IT", "", "", "2024-01-01T00:00:00Z", "red")
    write_csv(file, (good, long, ("3", "", *good[2:])))
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", **spec)).code == 0
    assert command("run", name).code == 0
    mapping = {**MAPPING, "name": {"column": "name", "default": "Unnamed"}}
    assert command("branch", "apply", write_spec(tmp_path / "b.yaml", **spec, mapping=mapping)).code == 0
    told = command("rejects", "replay", name, "--json").json
    assert (told["replayed"]["fixed"], told["truncated"]) == (1, 1)
    assert [one["external_id"] for one in live(name)] == ["1", "3"]
    assert [by is None for _, by in sorted(marks(name).items())] == [True, False]
    ran = command("rejects", "replay", name)
    assert ran.code == 2
    assert "no row that was set aside is left to replay" in ran.err
    assert "1 cannot be replayed: what they said was cut" in ran.err
    with session() as connection:
        row = connection.execute("select raw from ingest.rejects where raw_truncated and external_id = '2'").fetchone()
    assert row is not None
    assert len(row[0]) == 65_536
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(row[0])


def test_rows_that_weigh_much_make_parts_of_fewer(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch([*FIRST, *(("", f"No key {at}", *FIRST[0][2:]) for at in range(3))])
    chain.ingest(place.name)
    count = len(marks(place.name))
    assert count > 3
    monkeypatch.setattr(replay, "MAX_PAGE_BYTES", 1)
    activation = replaying.begin(place.name, rows_per_part=100)
    parts = told(
        place.name, f"select rows from ingest.parts where activation_id = {activation} and asset = 'branch_snapshot'"
    )
    assert [part["rows"] for part in parts] == [1] * count
    assert chain.ingest(place.name).state == "done"
