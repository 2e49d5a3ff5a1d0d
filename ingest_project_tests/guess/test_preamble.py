"""Lines before the header, and how a file is written: found where that is certain, left alone where it is not."""

from pathlib import Path
from typing import Any

import pytest

from ingest_project.errors import SourceUnreadable, SpecInvalid
from ingest_project.extract.source import MALFORMED
from ingest_project.guess.inspection import inspect_source
from ingest_project.guess.preamble import header_line
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, write_csv

TABLE = ["id,name,city", "1,a,x", "2,b,y"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (TABLE, None),
        (["", *TABLE], None),
        (["Places of 2024", *TABLE], (1, ",")),
        (["# made by x, on y", "# rows: 2", "", *TABLE], (3, ",")),
        (["# made by x, 2024", "id,name", "1,a"], (1, ",")),
        (["#id,name,city", *TABLE[1:]], None),
        (["# x", "", "#id;name", "1;a, b", "2;c"], (2, ";")),
        (["#id,name", "# rows: 1, 2", *TABLE], (2, ",")),
        (["Report", "", "id;name", "1;a,b", "2;c"], (2, ";")),
        (["sep=;", "id;name", "1;a"], (1, ";")),
        (["sep=;", "Places;;", "id;name;city", "1;a;x"], (2, ";")),
        (["Places,,", "Source: x,,", ",,", *TABLE], (3, ",")),
        (["Places;;;", "As of;2024-01-02;;;;", "id;name;city;lat", "1;a;x;2"], (2, ";")),
        (["As of;2024-01-02;x;", "id;name;city;lat", "1;a;x;2"], None),  # this may be the header
        (["name,,", "1,x,y", "2,z,w"], None),  # and numbers are no names
        ([",name,city", "0,a,x", "1,b,y"], None),
        (["SEP=|", "id|name", "1|a"], (1, "|")),
        (["id,name", "1,a,b", "2,c,d"], None),  # rows that are too long are no header
        (["Places, by city", *TABLE], (1, ",")),  # what stands below it are names that we know
        (["Places, by city, 2024", *TABLE], (1, ",")),
        (["Places; by town; of 2024", "", "Firma;Ort;Telefon", "a;x;030"], (2, ";")),
        (["Places, by town", "shelf,city,no", "1,a,x"], None),  # of which we know one
        (["shelf,thing,no", "name,city,phone", "a,x,1"], (1, ",")),
        (["osm_key,osm_value", "amenity,shop", "a,x"], None),
        (["name,thing", "title,city"], None),
        (["name", "a, b and c", "d, e"], (1, ",")),  # one column, never quoted: every row of it would be malformed
        (["name", '"a, b"', '"c, d"'], None),
        (["id\tname, full", "1\ta, b", "2\tc, d"], None),
        ([], None),
        (["id,name"], None),
    ],
)
def test_where_the_header_is(lines: list[str], found: tuple[int, str] | None) -> None:
    assert header_line(lines) == found


def test_lines_are_skipped_and_rows_stay_in_their_places(tmp_path: Path, spec: MakeSpec) -> None:
    path = write_csv(tmp_path / "a.csv", "# x, y\n\n# z\n\nid,name\n1,a\n2\n3,c\n")
    made = spec(path, skip_lines=3)
    assert rows_of(made) == [{"id": "1", "name": "a"}, {MALFORMED: "2"}, {"id": "3", "name": "c"}]
    first, *_ = pages_of(made, 2)
    assert [page.table["id"].to_pylist() for page in pages_of(made, 2, first.cursor)] == [["3"]]


def test_a_header_that_begins_like_a_remark_loses_no_row(tmp_path: Path) -> None:
    seen = inspect_source(str(write_csv(tmp_path / "a.csv", "#id,name,city\n1,a,x\n2,b,y\n")))
    assert (seen.columns, seen.settings, seen.samples["#id"]) == (("#id", "name", "city"), {}, ["1", "2"])


@pytest.mark.parametrize(
    ("name", "data", "written"),
    [
        ("a.csv", "id,name\n1,Zürich\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv", "id,name\n1,Zürich\n".encode("cp1252"), {"encoding": "windows-1252"}),
        ("a.tsv", b"id\tname\n1\ta, b\n", {"delimiter": "\t"}),
        ("a.tsv", b'id\tname\n1\t"a\n2\tb\n', {"delimiter": "\t", "quoted": False}),
        ("a.tsv", b'id\tname\n1\t"a" b\n2\t"c"\n', {"delimiter": "\t"}),  # these are closed
        ("a.tsv", b'id\tname\n1\t"a\tb"\n2\tc\n', {"delimiter": "\t"}),  # and this has a tab in it
        ("a.csv", b'id,name\n1,"12 Main St\nParis, France"\n2,x\n', {}),  # and this is closed in the next line
        ("a.txt", b"id|name\n1|a\n", {"delimiter": "|"}),
        ("a.csv", b"id;name;lat, lon\n1;a;1,5\n", {"delimiter": ";"}),
        ("a.csv", b"sep=;\nid;name\n1;a\n", {"skip_lines": 1, "delimiter": ";"}),
        ("a.csv", b"Report\n\nid,name\n1,a\n2,b\n", {"skip_lines": 2}),
        ("a.jsonl", b'[{"id": 1, "name": "a"}]', {"format": "json"}),
        ("a.jsonl", b'{"id": 1, "geo": {"lat": 1}}\n', {"nested": "flatten"}),
        ("a.json", b'[{"id": 1, "names": ["a"]}]', {"nested": "flatten"}),
        ("a.jsonl", b'{"id": 1, "name": "a"}\n', {}),
    ],
)
def test_how_it_is_written_is_found(tmp_path: Path, name: str, data: bytes, written: dict[str, Any]) -> None:
    seen = inspect_source(str(write_csv(tmp_path / name, data)))
    assert seen.settings == written
    assert seen.columns[0] == "id"


@pytest.mark.parametrize(
    ("name", "data", "given", "inside"),
    [
        ("a.jsonl", '{"id": 1, "categories": ["Cafe", "Bar"]}\n', {}, ("categories.0", "categories.1")),
        ("a.jsonl", '{"id": 1, "categories": ["Cafe", "Bar"]}\n', {"nested": "keep"}, ()),
        ("a.csv", 'id,categories\n1,"[""Cafe"", ""Bar""]"\n', {}, ()),
    ],
)
def test_values_in_arrays_are_seen_where_a_branch_may_map_them(
    tmp_path: Path, name: str, data: str, given: dict[str, Any], inside: tuple[str, ...]
) -> None:
    seen = inspect_source(str(write_csv(tmp_path / name, data)), given)
    assert seen.array_paths == inside
    assert set(seen.samples) == {"id", "categories", *inside}


def test_what_is_said_is_not_tried(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "id;name\n1;あ\n".encode("shift_jis"))
    assert inspect_source(str(path), {"encoding": "shift_jis"}).samples["name"] == ["あ"]
    assert inspect_source(str(path), {"encoding": "shift_jis", "delimiter": ","}).columns == ("id;name",)
    with pytest.raises(SourceUnreadable, match="not utf-16"):
        inspect_source(str(write_csv(tmp_path / "b.csv", b"id,name\n1,a")), {"encoding": "utf-16-be"})
    with pytest.raises(SpecInvalid, match="encoding"):
        inspect_source(str(path), {"encoding": "nonsense"})


def test_the_first_words_are_those_that_are_told(tmp_path: Path) -> None:
    # No UTF-8 and no windows-1252: the byte that is named is the one that UTF-8 stumbles at.
    path = write_csv(tmp_path / "a.csv", b"id,\x96\xbc\x8f\x81\n1,a\n")
    with pytest.raises(SourceUnreadable, match="not UTF-8 at byte 3, line 1"):
        inspect_source(str(path))


@pytest.mark.parametrize(
    ("name", "words", "todo"),
    [
        ("a.xlsx", "a.xlsx is a spreadsheet", "Save its sheet as CSV"),
        ("a.zip", "a.zip is an archive", "Unpack it"),
        ("a.csv.bz2", "compressed in a way that is not read here", "pack it as .gz"),
        ("a.pdf", "do not agree on one format", "format: csv"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, name: str, words: str, todo: str) -> None:
    with pytest.raises(SourceUnreadable, match=words) as caught:
        inspect_source(str(write_csv(tmp_path / name, b"PK\x03\x04")))
    assert todo in caught.value.todo


@pytest.mark.parametrize("declared", ["auto", "csv"])
def test_notes_beside_the_data_of_a_folder_are_no_data(tmp_path: Path, spec: MakeSpec, declared: str) -> None:
    write_csv(tmp_path / "a.csv", "id,name\n1,a\n")
    write_csv(tmp_path / "README.txt", "hello")
    write_csv(tmp_path / "meta.json", "{}")
    assert rows_of(spec(tmp_path, format=declared)) == [{"id": "1", "name": "a"}]
