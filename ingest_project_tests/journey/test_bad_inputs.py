"""Bad input gets a clear error or a reject with a reason; nothing is half done, and nothing is lost."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project_tests.journey.conftest import FIRST, HEADER, Ran, write_csv, write_spec
from ingest_project_tests.journey.states import rows

Command = Callable[..., Ran]
MINUTE = timedelta(minutes=1).total_seconds()


@pytest.fixture
def name() -> str:
    return f"bad-{uuid4().hex[:8]}"


def parquet(path: Path) -> Path:
    columns = {name: [row[at] for row in FIRST] for at, name in enumerate(HEADER)}
    pq.write_table(pa.table(columns), path)
    return path


def missing(folder: Path) -> dict[str, Any]:
    return {"location": str(folder / "nowhere.csv")}


def empty(folder: Path) -> dict[str, Any]:
    (folder / "empty.csv").touch()
    return {"location": str(folder / "empty.csv")}


def header_only(folder: Path) -> dict[str, Any]:
    return {"location": str(write_csv(folder / "header.csv", []))}


def without_column(folder: Path) -> dict[str, Any]:
    file = write_csv(folder / "other.csv", [("1", "a")], header=("id", "Name"))
    return {"location": str(file), "updated_at": None, "mapping": {"name": "name"}}


def truncated_parquet(folder: Path) -> dict[str, Any]:
    file = parquet(folder / "cut.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    return {"location": str(file)}


def parquet_with_a_broken_page(folder: Path) -> dict[str, Any]:
    file = parquet(folder / "broken.parquet")
    data = bytearray(file.read_bytes())
    data[4:60] = bytes(56)
    file.write_bytes(data)
    return {"location": str(file)}


def latin_1(folder: Path) -> dict[str, Any]:
    file = folder / "latin.csv"
    file.write_bytes("id,name,city,country,lat,lon,updated\n1,Zürich,,,,,2024-01-01\n".encode("latin-1"))
    return {"location": str(file)}


def too_old(folder: Path) -> dict[str, Any]:
    file = write_csv(folder / "old.csv", FIRST)
    os.utime(file, (file.stat().st_mtime - 90 * MINUTE,) * 2)
    return {"location": str(file), "limits": {"max_age": "PT1H"}}


def a_folder_of_two_headers(folder: Path) -> dict[str, Any]:
    write_csv(folder / "a.csv", FIRST)
    write_csv(folder / "b.csv", [("1", "x")], header=("id", "title"))
    return {"location": str(folder)}


def a_variable_that_is_not_set(folder: Path) -> dict[str, Any]:
    return {"location": "${NOT_SET_ANYWHERE}/places.csv"}


def a_scheme_of_nobodys(folder: Path) -> dict[str, Any]:
    return {"location": "ftp://example.org/places.csv"}


def named_csv_but_gzip(folder: Path) -> dict[str, Any]:
    (folder / "zipped.csv").write_bytes(b"\x1f\x8b\x08\x00\xff\xfe\xfd" * 50)
    return {"location": str(folder / "zipped.csv")}


REFUSED = [
    (missing, "SourceMissing", "there is nothing at"),
    (empty, "SourceEmpty", "the file is empty: zero bytes"),
    (header_only, "SourceEmpty", "has columns, and no rows"),
    (without_column, "ColumnsMissing", "did you mean 'Name'?"),
    (truncated_parquet, "SourceUnreadable", "cannot be read as parquet"),
    (parquet_with_a_broken_page, "SourceUnreadable", "cannot be read as parquet"),
    (latin_1, "SourceUnreadable", "not UTF-8 at byte 40, line 2: 0xfc"),
    (a_folder_of_two_headers, "ColumnsMissing", "b.csv"),
    (a_variable_that_is_not_set, "SourceMissing", "NOT_SET_ANYWHERE"),
    (a_scheme_of_nobodys, "SourceUnreadable", "ftp:// are not supported"),
    (named_csv_but_gzip, "SourceUnreadable", "it looks like gzip"),
]


@pytest.mark.parametrize(("make", "code", "words"), REFUSED, ids=lambda value: getattr(value, "__name__", None))
def test_a_source_that_cannot_be_ingested_is_refused(
    command: Command, name: str, tmp_path: Path, make: Callable[[Path], dict[str, Any]], code: str, words: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    spec = write_spec(tmp_path / "branch.yaml", name=name, **make(folder))
    assert command("branch", "apply", spec).code == 0
    ran = command("run", name)
    assert (ran.code, ran.out) == (4, "")
    assert words in ran.err
    assert "where: branch " in ran.err
    assert "  do:    " in ran.err
    assert "Traceback" not in ran.err
    assert left_by(name) == {"states": ["refused"], "codes": [code], "items": 0, "batches": 0, "leases": 0}


LEFT = """
select array_agg(a.state order by activation_id) as states,
       array_agg(a.error ->> 'code' order by activation_id) as codes,
       (select count(*) from core.items i where i.branch_id = b.branch_id) as items,
       (select count(*) from ingest.batches t join ingest.activations using (activation_id)
         where branch_id = b.branch_id) as batches,
       (select count(*) from ingest.leases l where l.branch_id = b.branch_id and holder is not null) as leases
  from ingest.branches b join ingest.activations a using (branch_id)
 where b.name = '{name}' group by b.branch_id"""


def left_by(name: str) -> dict[str, Any]:
    """What the tables hold of a branch."""
    with session() as connection:
        return rows(connection, LEFT.format(name=name))[0]


def test_refused_once_and_mended_it_goes_through(command: Command, name: str, tmp_path: Path) -> None:
    file = tmp_path / "late.csv"
    command("branch", "apply", write_spec(tmp_path / "branch.yaml", name=name, location=str(file)))
    assert command("run", name).code == 4
    write_csv(file, FIRST)
    assert command("run", name).code == 0
    assert left_by(name)["states"] == ["refused", "done"]


def test_rows_that_are_no_items_are_kept_with_their_reason(command: Command, name: str, tmp_path: Path) -> None:
    file = tmp_path / "mixed.csv"
    lines = [
        "id,name,city,country,lat,lon,updated",
        "1,good,Berlin,DE,52.5,13.4,2024-01-01",
        "1,older,Berlin,DE,52.5,13.4,2023-01-01",  # 2: the same key
        ",no key,,,,,2024-01-01",
        "4,,,,,,2024-01-01",
        "5,too,many,fields,52.5,13.4,2024-01-01,x",
        "6,nul\0inside,Berlin,DE,52.5,13.4,2024-01-01",
        f"{'k' * 201},key of 201 letters,,,,,2024-01-01",
        f"8,{'n' * 501},,,,,2024-01-01",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command("branch", "apply", write_spec(tmp_path / "branch.yaml", name=name, location=str(file)))
    told = command("run", name, "--json").json
    assert (told["rows_read"], told["valid"], told["rejected"]) == (8, 2, 6)
    with session() as connection:
        found = rows(connection, "select row, errors -> 0 ->> 'code' as code, raw from ingest.rejects "
                                 f"where activation_id = {told['activation']} order by row")  # fmt: skip
        kept = rows(connection, "select i.external_id, i.name, i.issues from core.items i join ingest.branches b "
                                f"using (branch_id) where b.name = '{name}' order by 1")  # fmt: skip
    assert [(one["row"], one["code"]) for one in found] == [
        *[(2, "duplicate_key"), (3, "key_missing"), (4, "name_missing"), (5, "malformed_row")],
        *[(7, "key_unusable"), (8, "name_unusable")],
    ]
    assert json.loads(found[0]["raw"])["name"] == "older"
    assert b"5,too,many,fields" in found[3]["raw"]
    assert [(one["external_id"], one["name"]) for one in kept] == [("1", "good"), ("6", "nulinside")]
    assert [issue["code"] for issue in kept[1]["issues"]] == ["characters_removed"]


def test_too_many_rejects_block_before_anything_is_written(command: Command, name: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", FIRST)
    spec = write_spec(tmp_path / "b.yaml", name=name, location=str(file), limits={"max_reject_ratio": 0.1})
    command("branch", "apply", spec)
    ran = command("run", name)
    assert ran.code == 4
    assert "2 of 11 rows were rejected: 18.2% with a limit of 10.0%" in ran.err
    assert left_by(name) == {"states": ["blocked"], "codes": ["GateBlocked"], "items": 0, "batches": 0, "leases": 0}


def test_one_that_is_too_old_is_ingested_once_somebody_takes_it(command: Command, name: str, tmp_path: Path) -> None:
    command("branch", "apply", write_spec(tmp_path / "branch.yaml", name=name, **too_old(tmp_path)))
    ran = command("run", name)
    assert (ran.code, ran.out) == (4, "")
    assert "last written 1:30:0" in ran.err
    assert "limits.max_age is 1:00:00" in ran.err
    assert left_by(name) == {"states": ["blocked"], "codes": ["GateBlocked"], "items": 0, "batches": 0, "leases": 0}
    accept = next(part for part in ran.err.split("`") if part.startswith("ingest accept "))
    assert command("accept", accept.split()[2], "freshness", "--why", "a holiday").code == 0
    assert command("run", name).code == 0
    assert left_by(name)["states"] == ["done"]
    assert "accepted: freshness, the source was last written 1:30:0" in command("status", name).out


@pytest.mark.parametrize(
    "name", ['it\'s "quoted"', "a/b\\c/../d", "; drop table core.items; --", "ünïcødé 名前", "%s {x}"]
)
def test_a_branch_may_have_any_name(command: Command, name: str, tmp_path: Path) -> None:
    name = f"{name} {uuid4().hex[:8]}"
    spec = write_spec(tmp_path / "branch.yaml", name=name, location=str(write_csv(tmp_path / "rows.csv", FIRST)))
    assert command("branch", "apply", spec).code == 0
    told = command("run", name, "--json")
    assert (told.code, told.json["inserted"]) == (0, 9), told.err
    assert command("status", name, "--json").json[0]["branch"] == name
    with session() as connection:
        paths = rows(connection, f"select path from ingest.parts where activation_id = {told.json['activation']}")
    assert all(set(one["path"]) <= set("0123456789/abcdefghijklmnopqrstuvwxyz_.") for one in paths)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 300, "at most 200"),
        ("", "at least 1"),
        ("a\nb", "control characters"),
        (" a", "white space around it"),
        ("a...b", "'...'"),
    ],
)
def test_a_name_that_cannot_be(command: Command, name: str, words: str, tmp_path: Path) -> None:
    ran = command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, source="s", location="x.csv"))
    assert ran.code == 2
    assert f"name: {'String should have ' if words.startswith('at') else ''}" in ran.err
    assert words in ran.err


@pytest.mark.parametrize("first", ["keep", "tombstone"])
def test_a_branch_that_deletes_what_it_lacks_has_its_source_to_itself(
    command: Command, name: str, tmp_path: Path, first: str
) -> None:
    other = {"keep": "tombstone", "tombstone": "keep"}[first]
    for at, missing in enumerate((first, other)):
        words = {"name": f"{name} {at}", "source": name, "priority": at, "location": "x.csv", "missing": missing}
        ran = command("branch", "apply", write_spec(tmp_path / f"{at}.yaml", **words))
        assert ran.code == 2 * at
    assert "missing: tombstone is for the sole branch of a source" in ran.err
    assert f"{name} 0" in ran.err
    assert command("branch", "show", f"{name} 1").code == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:s3cr3t-Word@127.0.0.1:1/db", "Connection refused"),
        ("postgresql://me:s3cr3t-Word@no-such-host.invalid/db", "no-such-host.invalid"),
        ("postgresql://me:s3cr3t/Word@127.0.0.1:1/db", "%2F"),
        ("nonsense s3cr3t-Word", "not valid"),
    ],
)
def test_a_database_that_cannot_be_reached(
    command: Command, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv("INGEST_DATABASE_URL", url)
    settings.cache_clear()
    ran = command("status")
    assert ran.code == 1
    assert words in ran.err
    assert "INGEST_DATABASE_URL" in ran.err
    assert "s3cr3t" not in ran.err + ran.out
