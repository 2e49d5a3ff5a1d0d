"""Quotes that nobody closed: rows they swallowed are set aside, and text that is meant to have lines is let alone."""

from pathlib import Path

import pyarrow as pa
import pytest

from ingest_project.extract.source import MALFORMED
from ingest_project.extract.unclosed_quotes import swallowing_rows
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import rows_of, write_csv

NARROW = "id,name\n1,a\n2,b\n"


def aside(folder: Path, spec: MakeSpec, text: str) -> list[str]:
    """The texts of the rows that are set aside."""
    rows = rows_of(spec(write_csv(folder / "a.csv", text)))
    return [str(row[MALFORMED]) for row in rows if MALFORMED in row]


@pytest.mark.parametrize(
    ("text", "swallowed"),
    [
        (f'{NARROW}3,"c\n4,d"\n5,e\n', '3,"c\n4,d"'),
        (f'{NARROW}3,"c\n4,d\n5,e"\n6,f\n', '3,"c\n4,d\n5,e"'),
        (f'{NARROW}"3,c\n4",d\n5,e\n', '"3,c\n4",d'),
        ('id,name\nA-1,a\nB-22,b\nC-3,"c\nD-4,d"\nE-5,e\n', 'C-3,"c\nD-4,d"'),
        ('id,name,zip\n1,a,0123\n2,b,0456\n3,"c,0789\n4,d",0111\n', '3,"c,0789\n4,d",0111'),
        ('name,id\na,1\nb,2\n"c,3\nd",4\ne,5\n"f,6\ng,7\nh",8\n', '"f,6\ng,7\nh",8'),
    ],
)
def test_stray_quotes_around_short_rows_of_a_narrow_file(
    tmp_path: Path, spec: MakeSpec, text: str, swallowed: str
) -> None:
    assert aside(tmp_path, spec, text)[-1] == swallowed


@pytest.mark.parametrize(
    "value",
    [
        "1 High Street\nLondon, UK",
        "call\n2, better 3",
        "one\ntwo,three",
        "one\n\ntwo",
        "see\n§4,b",
        "12 Rue X\nF-75001,Paris",
        "a\n3.5,b",
        "lines\nof\ntext",
    ],
)
def test_text_of_several_lines_is_a_value(tmp_path: Path, spec: MakeSpec, value: str) -> None:
    rows = rows_of(spec(write_csv(tmp_path / "a.csv", f'{NARROW}3,"{value}"\n4,d\n')))
    assert rows[2] == {"id": "3", "name": value}


def test_where_no_column_has_a_form_nothing_tells_rows_from_text(tmp_path: Path, spec: MakeSpec) -> None:
    assert aside(tmp_path, spec, 'id,name\nx,a\ny,b\nz,"c\nw,d"\n') == []


def test_line_breaks_of_other_rows_of_a_buffer_are_not_those_of_its_slice() -> None:
    table = pa.table({"id": ["1", "2", "3"], "name": ["x\ny", "2\n3,a\n4", "c"]})
    assert list(swallowing_rows(table.slice(2), [0, 1])) == []
    long = pa.table({"id": ["1", "2"], "name": ["b", "\n" * 200]})
    assert [list(swallowing_rows(long.slice(at, 1), [0, 1])) for at in (0, 1)] == [[], [0]]
    assert list(swallowing_rows(long.slice(0, 0), [0, 1])) == []
