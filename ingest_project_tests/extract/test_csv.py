import csv
import io
import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.errors import SourceUnreadable
from ingest_project.extract import csv as ours
from ingest_project.extract import preflight
from ingest_project.extract.source import MALFORMED
from ingest_project.extract.utf8 import Utf8File
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of, write_csv


@pytest.fixture
def read(tmp_path: Path, spec: MakeSpec):  # noqa: ANN201 - a function
    def rows(text: str | bytes, size: int = 1000, name_column: str = "name") -> list[dict[str, object]]:
        return rows_of(spec(write_csv(tmp_path / "a.csv", text), mapping={"name": name_column}), size)

    return rows


def test_text_stays_text(read) -> None:  # noqa: ANN001
    values = ["007", "NA", "NULL", "null", "1e5", "", " x ", "nan", "true", "2024-01-02", "-0.0", "#N/A"]
    text = "id,name\n" + "".join(f"{at},{value}\n" for at, value in enumerate(values))
    assert [row["name"] for row in read(text)] == values


def test_every_page_has_the_same_types(tmp_path: Path, spec: MakeSpec) -> None:
    path = write_csv(tmp_path / "a.csv", "id,name\n1,a\n2\n3,c\n")
    expected = pa.schema([("id", "string"), ("name", "string"), ("__row", "int64"), ("__malformed", "string")])
    assert [page.table.schema for page in pages_of(spec(path), 1)] == [expected] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,name\n1,a", [{"id": "1", "name": "a"}]),
        ("id,name\r\n1,a\r\n\r\n2,b\r\n", [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]),
        ("\ufeffid,name\n1,a\n", [{"id": "1", "name": "a"}]),
        ('\ufeff"id","name"\n1,a\n', [{"id": "1", "name": "a"}]),
        ('"id",name,"a ""b""\nc, d"\n1,a,x\n', [{"id": "1", "name": "a", 'a "b"\nc, d': "x"}]),
        ("id,name, spaced \n1,a,b\n", [{"id": "1", "name": "a", " spaced ": "b"}]),
        ('id,name\n1,"a ""b"", c\nd"\n', [{"id": "1", "name": 'a "b", c\nd'}]),
        ('id,name\n1,27" screen\n2,b\n', [{"id": "1", "name": '27" screen'}, {"id": "2", "name": "b"}]),
        ("id,name\n1,a\x00b\n", [{"id": "1", "name": "a\x00b"}]),
        ("\n\nid,name\n\n1,a\n", [{"id": "1", "name": "a"}]),
        ("id,name\n1,Zürich 東京 🛬\n", [{"id": "1", "name": "Zürich 東京 🛬"}]),
        ("id,name\n,\n", [{"id": "", "name": ""}]),
    ],
)
def test_what_is_read(text: str, expected: list[dict[str, str]], read) -> None:  # noqa: ANN001
    assert read(text) == expected


def test_several_columns_without_a_name_are_named_by_their_place(read) -> None:  # noqa: ANN001
    assert read("id,name,\n1,a,x\n") == [{"id": "1", "name": "a", "": "x"}]
    rows = read('\nid,"na\nme",, \n1,a,,\n\n2\n3,c,x,y\n', name_column="na\nme")
    assert rows == [
        {"id": "1", "na\nme": "a", "column 3": "", "column 4": ""},
        {MALFORMED: "2"},
        {"id": "3", "na\nme": "c", "column 3": "x", "column 4": "y"},
    ]


def test_one_column(tmp_path: Path, spec: MakeSpec) -> None:
    one = spec(write_csv(tmp_path / "a.csv", 'id\n1\n\n"2\n3"\n4'), mapping={"name": "id"})
    assert rows_of(one) == [{"id": "1"}, {"id": "2\n3"}, {"id": "4"}]


def test_three_hundred_columns(read) -> None:  # noqa: ANN001
    names = ["id", "name", *(f"c{at}" for at in range(298))]
    text = "\n".join([",".join(names), *(",".join(f"{row}.{at}" for at in range(300)) for row in range(50))])
    assert read(text, 7)[49] == {name: f"49.{at}" for at, name in enumerate(names)}


def test_a_long_field_and_a_long_header(read) -> None:  # noqa: ANN001
    long = "x" * (1 << 20)
    assert read(f"id,name,{long}\n1,{long},y\n2,b,z\n")[0] == {"id": "1", "name": long, long: "y"}


def test_columns_in_another_order_are_read_by_name(tmp_path: Path, spec: MakeSpec) -> None:
    write_csv(tmp_path / "a.csv", "id,name\n1,a\n")
    write_csv(tmp_path / "b.csv", "name,id\nb,2\nbad\n")
    assert rows_of(spec(tmp_path)) == [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {MALFORMED: "bad"}]


def test_malformed_rows_stand_in_their_places(read) -> None:  # noqa: ANN001
    found = read("id,name\n1\n2,b\n3,c,d\n\n4,d\n5\n", size=2)
    assert found == [
        {MALFORMED: "1"},
        {"id": "2", "name": "b"},
        {MALFORMED: "3,c,d"},
        {"id": "4", "name": "d"},
        {MALFORMED: "5"},
    ]


def test_nothing_but_malformed_rows(read) -> None:  # noqa: ANN001
    assert read("id,name\n1\n2\n") == [{MALFORMED: "1"}, {MALFORMED: "2"}]


@pytest.mark.parametrize("end", ["\n3,c\n", "\n3,c", "\r\n3,c\r\n4,d", "\n3,c\n4\n5\n"])
def test_an_unclosed_quote_is_one_malformed_row_that_holds_the_rest(end: str, read) -> None:  # noqa: ANN001
    for row in ('2,"b', '"2,b'):
        first, second = read(f"id,name\n1,a\n{row}{end}")
        assert first == {"id": "1", "name": "a"}
        assert list(second) == [MALFORMED]
        assert end.strip() in str(second[MALFORMED])


def test_a_quote_is_a_letter_where_values_are_not_quoted(tmp_path: Path, spec: MakeSpec) -> None:
    names = ['"Alte" Brücke', '"Quoted"', '"open', 'next, "after', '5" hoch', '""', '"']
    text = "id\tname\n" + "".join(f"{at}\t{name}\n" for at, name in enumerate(names))
    found = rows_of(spec(write_csv(tmp_path / "a.tsv", text), delimiter="\t", quoted=False), 3)
    assert [row["name"] for row in found] == names


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n", "\n3\n", "\n3,c"])
def test_a_closed_value_with_a_line_break_may_end_the_file(end: str, read) -> None:  # noqa: ANN001
    assert read(f'id,name\n2,"b\nc"{end}')[0] == {"id": "2", "name": "b\nc"}


@pytest.mark.parametrize("ways", [1, 2, 5, 400])
def test_a_stray_quote_does_not_make_rows_vanish(ways: int, read) -> None:  # noqa: ANN001
    rows = "".join(f"{at},x,y,z\n" for at in range(ways))
    for end in ('9,"d",8,7\n', '9,12",8,7\n'):
        found = read(f'id,name,c,d\n0,a,b,c\n1,"x,3,4\n{rows}{end}10,e,f,g\n')
        assert len(found) == 3
        if end.startswith('9,"') or ways > 1:
            assert list(found[1]) == [MALFORMED]
            assert all(row in str(found[1][MALFORMED]) for row in rows.splitlines())


@pytest.mark.parametrize(
    "value", ["a\nb", "Features:\nwifi, pool, bar", 'Screen\n27"', "One, two\nthree\n", "\n" * 100, "a,b\nc,d\ne,f"]
)
def test_line_breaks_that_are_meant_are_kept(value: str, read) -> None:  # noqa: ANN001
    quoted = value.replace('"', '""')
    assert read(f'id,name,c,d\n1,"{quoted}",x,y\n') == [{"id": "1", "name": value, "c": "x", "d": "y"}]


def test_more_than_a_hundred_lines_in_a_value_are_set_aside(read) -> None:  # noqa: ANN001
    value = "line\n" * 101
    assert read(f'id,name\n1,"{value}"\n2,b\n') == [{MALFORMED: f'1,"{value}"'}, {"id": "2", "name": "b"}]


class TestNotUtf8:
    def refused(self, tmp_path: Path, spec: MakeSpec, data: bytes) -> SourceUnreadable:
        with pytest.raises(SourceUnreadable) as caught:
            rows_of(spec(write_csv(tmp_path / "a.csv", data)))
        assert caught.value.where["file"] == str(tmp_path / "a.csv")
        return caught.value

    def test_latin_1_names_byte_and_line(self, tmp_path: Path, spec: MakeSpec) -> None:
        error = self.refused(tmp_path, spec, b"id,name\n1,a\n2,caf\xe9\n")
        assert error.what == "the file is not UTF-8 at byte 17, line 3: 0xe9"
        assert (error.where["byte"], error.where["line"]) == (17, 3)
        assert "Declare its `encoding`" in error.todo

    @pytest.mark.parametrize("row", [b"2,\xe9,x,y\n", b"2\xe9", b'2,"\xe9\n', b"2,\xc3"])
    def test_in_a_malformed_row_and_at_the_end(self, row: bytes, tmp_path: Path, spec: MakeSpec) -> None:
        assert "line 3" in self.refused(tmp_path, spec, b"id,name\n1,a\n" + row).what

    def test_far_behind_the_first_block(self, tmp_path: Path, spec: MakeSpec) -> None:
        good = "id,name\n" + "1,Zürich\n" * 1_100_000
        error = self.refused(tmp_path, spec, good.encode() + b"2,\xe9\n")
        assert error.where["byte"] == len(good.encode()) + 2
        assert error.where["line"] == 1_100_002

    @pytest.mark.parametrize(
        ("data", "kind"),
        [("id,name\n1,a\n".encode("utf-16"), "UTF-16"), (b"\x1f\x8b\x08\x00", "gzip"), (b"PK\x03\x04\xff", "zip")],
    )
    def test_other_kinds_of_files_are_recognized(self, data: bytes, kind: str, tmp_path: Path, spec: MakeSpec) -> None:
        assert f"looks like {kind}" in self.refused(tmp_path, spec, data).what.replace("a zip", "zip")


def test_nothing_but_empty_lines(tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match="no header line"):
        preflight.check(spec(write_csv(tmp_path / "a.csv", "\n\n\n")))


def test_a_row_longer_than_a_block_is_refused(tmp_path: Path, spec: MakeSpec) -> None:
    text = 'id,name\n1,a\n2,"' + "x,y\n" * 5_000_000
    with pytest.raises(SourceUnreadable, match="longer than 2 MB, mostly for a quote that is never closed"):
        rows_of(spec(write_csv(tmp_path / "a.csv", text)))


def test_many_blocks_with_malformed_rows_in_first_middle_and_last(tmp_path: Path, spec: MakeSpec) -> None:
    count = 900_000
    bad = {0, 1, 17, 449_999, 450_000, count - 1}
    lines = (f"{at}" if at in bad else f"{at},name of row {at}" for at in range(count))
    path = write_csv(tmp_path / "a.csv", "id,name\n" + "\n".join(lines))
    assert path.stat().st_size > 2 * ours._BLOCK
    pages = pages_of(spec(path), 100_000)
    table = table_of(pages)
    assert [page.table.num_rows for page in pages] == [100_000] * 9
    assert table["__row"].to_pylist() == list(range(1, count + 1))
    assert sum(page.bytes_read for page in pages) == path.stat().st_size
    malformed = [at for at, text in enumerate(table[MALFORMED].to_pylist()) if text is not None]
    assert set(malformed) == bad
    assert table["id"].take(pa.array([2, 16, 18, 450_001])).to_pylist() == ["2", "16", "18", "450001"]


def reference(text: str) -> list[dict[str, object]]:
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    return [dict(zip(header, row, strict=True)) if len(row) == len(header) else {MALFORMED: ...} for row in rows]


CELL = st.text(st.sampled_from('ab ,"\n\rü\x00'), max_size=6)


@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=30), size=st.integers(1, 7))
def test_reads_what_python_reads(rows: list[list[str]], size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = [row for row in rows if any(row)] or [["x", "y"]]
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["id", "name", "c"], *rows])
    path = write_csv(tmp_path_factory.mktemp("any") / "a.csv", text.getvalue())
    spec = preflight.BranchSpec(name="b", source="s", location=str(path), key="id", mapping={"name": "name"})
    found = [row if MALFORMED not in row else {MALFORMED: ...} for row in rows_of(spec, size)]
    assert found == reference(text.getvalue())


@pytest.mark.parametrize("before", ["", "\n\n"])
def test_a_header_of_many_columns_may_have_blank_names(tmp_path: Path, spec: MakeSpec, before: str) -> None:
    wide = [f"a column with a long name {at}" for at in range(3000)]
    text = f"{before}id,name,,,{','.join(wide)}\n1,a,x,y{',z' * len(wide)}\n"
    (row,) = rows_of(spec(write_csv(tmp_path / "a.csv", text)))
    assert {name: row[name] for name in ("id", "name", "column 3", "column 4", wide[-1])} == {
        "id": "1",
        "name": "a",
        "column 3": "x",
        "column 4": "y",
        wide[-1]: "z",
    }


def test_bytes_that_arrow_reads_ahead_are_counted_once(
    tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "a.csv", "id,name\n" + "".join(f"{at},name of row {at}\n" for at in range(300_000)))
    assert path.stat().st_size > 2 * ours._BLOCK
    asked = itertools.count(1)  # as if some were read between any two looks at the count
    monkeypatch.setattr(Utf8File, "bytes_read", property(lambda _: next(asked)))
    pages = pages_of(spec(path), 100_000)
    assert sum(page.bytes_read for page in pages) == next(asked) - 1


@pytest.mark.parametrize("again", ["id,name", '"id","name"', "\ufeffid,name"])
def test_the_header_again_is_no_row(tmp_path: Path, spec: MakeSpec, again: str) -> None:
    made = spec(write_csv(tmp_path / "a.csv", f"id,name\n1,a\n{again}\n2,name\nid,b\n"))
    header = {MALFORMED: again.replace('"', "")}
    assert rows_of(made) == [{"id": "1", "name": "a"}, header, {"id": "2", "name": "name"}, {"id": "id", "name": "b"}]


def test_a_name_of_its_only_column_may_be_a_value(tmp_path: Path, spec: MakeSpec) -> None:
    made = spec(write_csv(tmp_path / "a.csv", "id\n1\nid\n"), mapping={"name": "id"})
    assert rows_of(made) == [{"id": "1"}, {"id": "id"}]
