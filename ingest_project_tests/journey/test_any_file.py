"""Any file in one command: registered, guessed, shown, ingested."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ingest_project.branches.spec import load_spec
from ingest_project.postgres.connection import session
from ingest_project_tests.journey.conftest import Ran, write_csv
from ingest_project_tests.journey.states import rows

Command = Callable[..., Ran]
ITEMS = "select i.* from core.items i join ingest.branches b using (branch_id) where b.name = '{}' order by external_id"
HEADER = ("code", "title", "city", "zip", "country", "lat", "lng", "colour")
ROWS = (
    ("a1", "Tor", "Berlin", "10117", "Germany", "52.5163", "13.3777", "red"),
    ("a2", "Tour", "Paris", "75007", "FR", "48.8584", "2.2945", ""),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_csv(tmp_path / f"exports-{uuid4().hex[:8]}.csv", ROWS, HEADER)


def test_a_file_alone_is_enough(command: Command, file: Path) -> None:
    ran = command("run", file, "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["branch"], ran.json["inserted"]) == (file.stem, 2)
    assert f"branch '{file.stem}' created" in ran.err
    assert "locality      ←  city     Berlin, Paris" in ran.err
    assert "attributes: colour" in ran.err
    again = command("run", file, "--json")
    assert (again.json["unchanged"], "created" in again.err) == (2, False)
    assert command("run", file.stem, "--json").json["unchanged"] == 2


def test_what_is_guessed_wrongly_is_said_and_applied(command: Command, file: Path) -> None:
    command("run", file)
    told = command("run", file, "--map", "description=colour", "--json")
    assert f"branch '{file.stem}' changed" in told.err
    assert told.json["updated"] == 1  # the one that has a colour: it is no attribute any more
    shown = command("branch", "show", file.stem, "--json").json
    assert shown["mapping"]["description"]["column"] == "colour"


def test_a_dry_run_of_a_file_comes_first(command: Command, file: Path) -> None:
    planned = command("run", file, "--dry-run", "--json").json
    assert (planned["state"], planned["plan"]["inserted"]) == ("planned", 2)


def test_a_branch_file_is_written_for_a_person_to_edit(command: Command, file: Path) -> None:
    target = file.with_suffix(".yaml")
    assert command("branch", "init", file, "--output", target).code == 0
    text = target.read_text(encoding="utf-8")
    assert "locality: city   # Berlin, Paris" in text
    assert "# updated_at: COLUMN" in text
    spec = load_spec(target)
    assert (spec.name, spec.key, spec.location) == (file.stem, "code", str(file))
    assert yaml.safe_load(command("branch", "init", file).out) == yaml.safe_load(text)
    assert command("branch", "apply", target).code == 0
    assert command("run", file.stem, "--json").json["inserted"] == 2
    again = command("branch", "init", file, "--output", target)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert target.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("value", ["yes", "1.0", "a: b", "# x", "null", "'q'", "ünï", "- x", "{x}", "%a", " "])
def test_columns_of_any_name_survive_the_branch_file(command: Command, tmp_path: Path, value: str) -> None:
    file = write_csv(tmp_path / f"odd-{uuid4().hex[:8]}.csv", [("1", value)], ("id", value))
    ran = command("branch", "init", file, "--map", f"name={value}")
    assert ran.code == 0, ran.err
    assert yaml.safe_load(ran.out)["mapping"] == {"name": value}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--map", "name"), "--map name: say FIELD=COLUMN"),
        (("--key", "nope"), "there is no column 'nope'; there are: code, title"),
        (("--map", "nope=title"), "there is no field 'nope'"),
    ],
)
def test_what_cannot_be_said(command: Command, file: Path, words: tuple[str, ...], said: str) -> None:
    ran = command("run", file, *words)
    assert ran.code == 2
    assert said in ran.err


def test_a_name_that_is_taken_by_other_data(command: Command, file: Path, tmp_path: Path) -> None:
    command("run", file)
    other = tmp_path / "elsewhere" / file.name
    other.parent.mkdir()
    write_csv(other, ROWS, HEADER)
    ran = command("run", other)
    assert ran.code == 2
    assert f"branch '{file.stem}' is there already, for {file}" in ran.err
    assert command("run", other, "--name", f"{file.stem}-2", "--json").json["inserted"] == 2


@pytest.mark.parametrize("words", [("run",), ("plan",), ("branch", "init")])
def test_a_name_that_is_no_utf8_is_refused(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    file = write_csv(tmp_path / "z\udcfcrich.csv", ROWS, HEADER)
    ran = command(*words, file)
    assert ran.code == 4
    assert "the name of a file is not UTF-8: " in ran.err
    assert "z\\xfcrich.csv" in ran.err


def test_a_registered_branch_is_not_guessed_again(command: Command, file: Path) -> None:
    command("run", file)
    ran = command("run", file.stem, "--key", "code")
    assert ran.code == 2
    assert "its file says what its columns are" in ran.err


def test_text_of_parquet_that_is_no_utf8(command: Command, tmp_path: Path) -> None:
    texts = pa.array([b"Caf\xe9", b"\xff", b"Bar \xe9t\xe9"])
    broken = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    file = tmp_path / f"careless-{uuid4().hex[:8]}.parquet"
    pq.write_table(pa.table({"id": ["1", "2", None], "name": broken, "note": broken}), file)
    assert "Caf\ufffd" in command("branch", "init", file).out
    ran = command("run", file, "--json")
    assert (ran.code, ran.json["inserted"], ran.json["rejected"]) == (0, 2, 1), ran.err
    with session() as connection:
        found = rows(connection, ITEMS.format(file.stem))
    assert [(one["name"], one["attributes"]["note"]) for one in found] == [
        ("Caf\ufffd", "Q2Fm6Q=="),
        ("\ufffd", "/w=="),
    ]
    assert [issue["code"] for issue in found[0]["issues"]] == ["not_utf8", "bytes_encoded"]
    assert command("profile", file.stem).code == 0
    assert "QmFyIOl06Q==" in command("rejects", file.stem, "--json").out
    assert command("run", file, "--json").json["unchanged"] == 2


def test_a_mapped_key_of_json_that_was_renamed_blanks_nothing(command: Command, tmp_path: Path) -> None:
    file = tmp_path / f"renaming-{uuid4().hex[:8]}.jsonl"
    first = '{"id": 1, "name": "Tor", "city": "Berlin"}\n{"id": 2, "name": "Tour"}\n'
    file.write_text(first)
    assert command("run", file, "--json").json["inserted"] == 2
    file.write_text(first.replace("city", "town"))
    ran = command("run", file.stem)
    assert (ran.code, "no column 'city' (did you mean 'town'?)" in ran.err) == (4, True), ran.err
    file.write_text('{"id": 1, "name": "Tor"}\n')
    ran = command("run", file.stem, "--json")
    assert [change["what"] for change in ran.json["drift"]["changes"]] == ["missing: 'city'"], (
        "told, since rows may lack it"
    )
    file.write_text(first)
    ran = command("run", file.stem, "--json")
    assert [change["what"] for change in ran.json["drift"]["changes"]] == ["new: 'city'"]


def test_a_file_that_is_not_there(command: Command, tmp_path: Path) -> None:
    ran = command("run", tmp_path / "nowhere.csv")
    assert ran.code == 4
    assert "there is nothing at" in ran.err


def test_a_spreadsheets_export_with_semicolons_in_latin_1(command: Command, tmp_path: Path) -> None:
    file = tmp_path / f"export-{uuid4().hex[:8]}.csv"
    file.write_bytes("Id;Name;Ort\r\n1;Café Größe;Zürich\r\n".encode("windows-1252"))
    ran = command("run", file, "--json")
    assert (ran.code, ran.json["inserted"]) == (0, 1), ran.err
    assert "encoding" in ran.err
    shown = command("branch", "show", file.stem, "--json").json
    assert (shown["delimiter"], shown["encoding"]) == (";", "cp1252")
    text = command("branch", "init", file).out
    assert "delimiter: ;" in text
    assert yaml.safe_load(text)["delimiter"] == ";"
