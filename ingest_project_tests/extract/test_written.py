"""Files that are not comma-separated UTF-8: read as their branch declares, to the same rows."""

import gzip
from pathlib import Path

import pytest
from pydantic import ValidationError

from ingest_project.errors import ColumnsMissing, SourceUnreadable
from ingest_project.extract.source import MALFORMED
from ingest_project.guess.inspection import inspect_source
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of, write_csv

DELIMITERS = [",", ";", "\t", "|"]
ENCODINGS = ["windows-1252", "iso-8859-15", "utf-16", "utf-16-le", "utf-8-sig", "mac-roman", "cp1250"]
TEXT = "id,name\n1,Café\n2,Zürich\n3,Straße\n"
ROWS = [{"id": "1", "name": "Café"}, {"id": "2", "name": "Zürich"}, {"id": "3", "name": "Straße"}]


@pytest.mark.parametrize("mark", DELIMITERS)
def test_other_separators_give_the_same_rows(mark: str, tmp_path: Path, spec: MakeSpec) -> None:
    lines = ["id,name", '1,"with,it inside"', "2,b", "3,too,many", '4,"two\nlines"', "5,"]
    file = write_csv(tmp_path / "a.csv", "\n".join(lines).replace(",", mark) + "\n")
    assert rows_of(spec(file, delimiter=mark)) == [
        {"id": "1", "name": f"with{mark}it inside"},
        {"id": "2", "name": "b"},
        {MALFORMED: f"3{mark}too{mark}many"},
        {"id": "4", "name": "two\nlines"},
        {"id": "5", "name": ""},
    ]


@pytest.mark.parametrize("mark", DELIMITERS)
def test_a_quote_that_swallows_rows_is_found_whatever_separates_them(mark: str, tmp_path: Path, spec: MakeSpec) -> None:
    swallowed = "".join(f"{at},b,c,d\n" for at in range(3, 6))
    text = f'id,name,x,y\n1,a,b,c\n2,"b,c,d\n{swallowed}6,"e",f,g\n7,h,i,j\n'
    file = write_csv(tmp_path / "a.csv", text.replace(",", mark))
    found = rows_of(spec(file, delimiter=mark))
    assert found[0]["id"] == "1"
    assert found[-1]["id"] == "7"
    assert any(MALFORMED in row for row in found)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_encodings_give_the_same_rows(encoding: str, tmp_path: Path, spec: MakeSpec) -> None:
    file = write_csv(tmp_path / "a.csv", TEXT.encode(encoding))
    assert rows_of(spec(file, encoding=encoding)) == ROWS


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_pages_and_their_cursors_are_of_rows_not_of_bytes(size: int, tmp_path: Path, spec: MakeSpec) -> None:
    declared = spec(write_csv(tmp_path / "a.csv", TEXT.encode("utf-16")), encoding="utf-16")
    pages = pages_of(declared, size)
    assert table_of(pages)["name"].to_pylist() == ["Café", "Zürich", "Straße"]
    for at, page in enumerate(pages):
        rest = pages_of(declared, size, page.cursor)
        assert sum(one.table.num_rows for one in rest) == sum(one.table.num_rows for one in pages[at + 1 :])


def test_a_character_that_lies_across_blocks(tmp_path: Path, spec: MakeSpec) -> None:
    name = "é" * 700_000
    file = write_csv(tmp_path / "a.csv", f"id,name\n1,x{name}\n".encode("utf-16-le"))
    (row,) = rows_of(spec(file, encoding="utf-16-le"))
    assert row["name"] == f"x{name}"


def test_packed_and_in_another_encoding(tmp_path: Path, spec: MakeSpec) -> None:
    file = write_csv(tmp_path / "a.csv.gz", gzip.compress(TEXT.encode("windows-1252")))
    assert rows_of(spec(file, encoding="windows-1252")) == ROWS


def test_json_lines_too(tmp_path: Path, spec: MakeSpec) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes('{"id": "1", "name": "Café"}\n'.encode("windows-1252"))
    assert [row["name"] for row in rows_of_json(spec(file, encoding="windows-1252"))] == ["Café"]


def rows_of_json(declared: object) -> list[dict[str, object]]:
    return table_of(pages_of(declared)).to_pylist()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("encoding", "data", "byte"),
    [
        ("cp1252", b"id,name\n1,a\x81b\n", 11),
        ("ascii", b"id,name\n1,\xe9\n", 10),
        ("utf-16-le", "id,name\n1,a\n".encode("utf-16-le") + b"\x00", 24),
    ],
)
def test_what_is_not_in_the_declared_encoding_is_refused_with_its_place(
    encoding: str, data: bytes, byte: int, tmp_path: Path, spec: MakeSpec
) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        rows_of(spec(write_csv(tmp_path / "a.csv", data), encoding=encoding))
    assert f"the file is not {encoding} at byte {byte}" in caught.value.what
    assert caught.value.where["file"] == str(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "wrong", [{"encoding": "rot13"}, {"encoding": "no-such"}, {"delimiter": "::"}, {"delimiter": ""}]
)
def test_what_cannot_be_declared(wrong: dict[str, str], spec: MakeSpec) -> None:
    with pytest.raises(ValidationError):
        spec("a.csv", **wrong)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("latin1", "iso8859-1"),
        ("UTF8", "utf-8"),
        ("Windows-1252", "cp1252"),
        ("Shift_JIS", "cp932"),
        ("GBK", "gb18030"),
    ],
)
def test_an_encoding_has_one_name(name: str, kept: str, spec: MakeSpec) -> None:
    assert spec("a.csv", encoding=name).encoding == kept


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_separator_that_is_not_declared_is_named(mark: str, tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(ColumnsMissing, match="in the branch file") as caught:
        rows_of(spec(write_csv(tmp_path / "a.csv", TEXT.replace(",", mark))))
    assert f"say `delimiter: {mark!r}`" in caught.value.what


@pytest.mark.parametrize("mark", DELIMITERS)
@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
def test_a_first_look_finds_out_how_a_file_is_written(mark: str, encoding: str, tmp_path: Path) -> None:
    seen = inspect_source(str(write_csv(tmp_path / "a.csv", TEXT.replace(",", mark).encode(encoding))))
    assert seen.columns == ("id", "name")
    assert seen.samples["name"] == ["Café", "Zürich", "Straße"]
    assert seen.settings.get("delimiter", ",") == mark
    assert seen.settings.get("encoding", "utf-8") == encoding
