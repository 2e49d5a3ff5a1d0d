"""Quotes that nobody doubled are read as what they stand for; whatever is RFC 4180 is left as it is, to the byte."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest_project.extract.source import MALFORMED
from ingest_project.extract.stray_quotes import RequotedFile, requote_line
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import rows_of, write_csv

TEXT = st.text(st.sampled_from('ab ",;é\n'), max_size=9)
ROWS = st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=6)
PLAIN = st.text(st.sampled_from('ab "é'), max_size=9)  # neither a delimiter nor a line break


def read_by(data: bytes, size: int, *, width: int = 3, delimiter: str = ",") -> bytes:
    """All that comes out, drawn so many bytes at a time."""
    file, made = RequotedFile(io.BytesIO(data), delimiter, width), list[bytes]()
    while block := file.read(size):
        assert len(block) <= size
        made.append(block)
    return b"".join(made)


def written(rows: list[list[str]], quoting: int) -> bytes:
    """As Python's writer has it, which doubles quotes."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows(rows)  # pyright: ignore[reportArgumentType]
    return text.getvalue().encode()


@given(rows=ROWS, quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), size=st.integers(1, 40))
@example(rows=[['5" pipe', 'the "Man"', '"'], ["a\nb", '"x"y', ""]], quoting=csv.QUOTE_MINIMAL, size=7)
@example(rows=[["", ',";', '"\n']], quoting=csv.QUOTE_MINIMAL, size=40)
@example(rows=[["\n", "\n", '",";']], quoting=csv.QUOTE_MINIMAL, size=40)
def test_what_is_written_by_the_rules_is_left_as_it_is(rows: list[list[str]], quoting: int, size: int) -> None:
    data = written(rows, quoting)
    assert list(csv.reader(io.StringIO(read_by(data, 1 << 20).decode(), newline=""))) == rows
    assert read_by(data, 1 << 20) == data
    assert read_by(data, size).replace(b'"', b"") == data.replace(b'"', b""), "nothing but quotes is ever added"


@given(value=PLAIN, other=PLAIN)
@example(value='Bob "Bobby" Smith', other='"hi"')
@example(value='"', other='a "b"')
def test_a_program_that_doubles_none_is_read_as_it_meant(value: str, other: str) -> None:
    line = f'1,"{value}","{other}"\n'.encode()
    (row,) = csv.reader([requote_line(line, b",", 3).decode()])
    if '""' in f"{value} {other}" or '"' in (value[:1], value[-1:], other[:1], other[-1:]):
        assert row[1].replace('"', "") == value.replace('"', ""), "two in a row may be one that was doubled"
    else:
        assert row == ["1", value, other]


LINES = {
    "a nickname": ('2,"Bob ""Bobby"" Smith",x', 'Bob "Bobby" Smith'),
    "a nickname, not doubled": ('2,"Bob "Bobby" Smith",x', 'Bob "Bobby" Smith'),
    "a comma inside as well": ('2,"Bob "Bobby" Smith, Jr.",x', 'Bob "Bobby" Smith, Jr.'),
    "at the end": ('2,"Hotel "Adler"",x', 'Hotel "Adler"'),
    "at the beginning": ('2,""Adler" Hotel",x', '"Adler" Hotel'),
    "all of it": ('2,""Adler"",x', '"Adler"'),
    "inches, unquoted": ('2,5" pipe,x', '5" pipe'),
    "inches": ('2,"5" pipe",x', '5" pipe'),
    "something behind a quote": ('2,"abc"def,x', '"abc"def'),
    "blanks behind a quote": ('2,"abc" ,x', '"abc" '),
    "beside one that is right": ('2,"abc"def,"x, y"', '"abc"def'),
}


@pytest.mark.parametrize("name", LINES)
def test_lines_as_people_write_them(name: str, tmp_path: Path, spec: MakeSpec) -> None:
    line, found = LINES[name]
    rows = rows_of(spec(write_csv(tmp_path / "a.csv", f'id,name,more\n1,"a",b\n{line}\n3,"c","d"\n')))
    assert [row["name"] for row in rows] == ["a", found, "c"]
    assert not any(MALFORMED in row for row in rows)
    assert rows[1]["more"] == ("x, y" if "x, y" in line else "x")


def test_a_quote_before_a_comma_could_be_either_and_sets_the_row_aside(tmp_path: Path, spec: MakeSpec) -> None:
    line = '2,"Bob "Bobby", Smith",x'
    rows = rows_of(spec(write_csv(tmp_path / "a.csv", f'id,name,more\n1,"a",b\n{line}\n3,"c","d"\n')))
    assert [row.get(MALFORMED) for row in rows] == [None, line, None]


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_the_end_of_a_line_stays(end: str) -> None:
    assert requote_line(f'1,"a"b"{end}'.encode(), b",", 2) == f'1,"a""b"{end}'.encode()


@pytest.mark.parametrize("delimiter", [";", "\t", "§"])
def test_other_delimiters(delimiter: str) -> None:
    line = f'1{delimiter}"a "b" c"{delimiter}2\n'
    doubled = line.replace('"b"', '""b""')
    assert read_by(line.encode(), 1 << 20, delimiter=delimiter) == doubled.encode()


@pytest.mark.parametrize("line", ['1,"a"b,"c\n', '1,"a "b" c"\n', '1,2,3,"a"b"\n', '"a "b" c\n'])
def test_a_line_that_fits_no_way_is_left_to_the_reader(line: str) -> None:
    assert requote_line(line.encode(), b",", 3) == line.encode()


@given(size=st.integers(1, 60))
def test_a_line_is_whole_wherever_the_blocks_end(size: int) -> None:
    line = b'1,"a "b" c",2\n'
    whole = b'1,"a ""b"" c",2\n'
    data = b"x,y,z\n" + line * 5
    assert read_by(data, size) in (b"x,y,z\n" + whole * 5,) or size < len(line)


INNER = st.from_regex(r"[ab](?: [ab]|\"[ab]){0,4}", fullmatch=True)  # quotes only inside


@given(first=st.text("ab ", max_size=3), lines=st.lists(INNER, min_size=1, max_size=4), size=st.integers(60, 90))
@example(first="a", lines=['b "c" d', "", 'e "f" g'], size=60)
def test_so_are_the_lines_within_a_value(first: str, lines: list[str], size: int) -> None:
    value, behind = "\n".join([first, *lines]), '2,"the "Man" x",y\n'
    read = read_by(f'1,"{value}",c\n{behind}'.encode(), size).decode()
    assert list(csv.reader(io.StringIO(read, newline=""))) == [["1", value, "c"], ["2", 'the "Man" x', "y"]]


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        ('1,"a\nb "c" d","e "f" g"\n', '1,"a\nb ""c"" d","e ""f"" g"\n'),
        ('1,"a\nb ""c"" d",""\n', '1,"a\nb ""c"" d",""\n'),
        ('1,"a\nb",c\n2,"d\n,""e""\nf",g\n', '1,"a\nb",c\n2,"d\n,""e""\nf",g\n'),
        ('1,"a\r\nsay "hi"\r\nb",c\r\n', '1,"a\r\nsay "hi"\r\nb",c\r\n'),  # a value may end at a line's end
    ],
)
def test_the_end_of_a_value_of_several_lines(lines: str, read: str) -> None:
    assert read_by(lines.encode(), 1 << 20).decode() == read


def test_inches_open_no_value() -> None:
    lines = 'id,name,more\n1,5" pipe,a\n2,"the "Man" x",y\n'
    assert read_by(lines.encode(), 1 << 20).decode() == lines.replace('"Man"', '""Man""')
