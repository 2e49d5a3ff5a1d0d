"""`.docs/bad-inputs.md`: a table of bad files and what one sees. Each line of it is what really happens."""

import gzip
import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.errors import Refused
from ingest_project_tests.conftest import REPOSITORY
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import rows_of

GOOD = b"id,name\n1,a\n2,b\n"
TABLE = REPOSITORY / ".docs" / "bad-inputs.md"


def parquet() -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table({"id": [1], "name": ["a"]}), data)
    return data.getvalue()


# What is wrong with it, as the table names it: the file's name and bytes.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zero bytes": ("a.csv", lambda: b""),
    "a header only": ("a.csv", lambda: b"id,name\n"),
    "a header that names a column twice": ("a.csv", lambda: b"id,name,name\n1,a,b\n"),
    "a header with several blank names": ("a.csv", lambda: b"id,name,,\n1,a,,\n2,b,x,\n"),
    "lines before the header, not declared": ("a.csv", lambda: b"Places\n\n" + GOOD),
    "a byte order mark": ("a.csv", lambda: b"\xef\xbb\xbf" + GOOD),
    "windows-1252, not declared": ("a.csv", lambda: "id,name\n1,Zürich\n".encode("cp1252")),
    "UTF-16, not declared": ("a.csv", lambda: GOOD.decode().encode("utf-16")),
    "a row with a value too many": ("a.csv", lambda: GOOD + b"3,c,x\n"),
    "a quote that is never closed": ("a.csv", lambda: GOOD + b'3,"c\n4,d\n5,e\n'),
    "two stray quotes around short rows": ("a.csv", lambda: GOOD + b'3,"c\n4,d"\n5,e\n'),
    "a row of totals at its end": ("a.csv", lambda: GOOD + b"Total: 2\n"),
    "an Excel or zip file": ("a.xlsx", lambda: b"PK\x03\x04"),
    "gzip named .csv": ("a.csv", lambda: gzip.compress(GOOD, mtime=0)),
    "gzip that is cut off": ("a.csv.gz", lambda: gzip.compress(GOOD, mtime=0)[:-9]),
    "gzip with damaged bytes": ("a.csv.gz", lambda: gzip.compress(GOOD, mtime=0)[:-8] + bytes(8)),
    "two gzip files one after the other": ("a.csv.gz", lambda: gzip.compress(GOOD) + gzip.compress(b"3,c\n")),
    "a gzip bomb": ("a.csv.gz", lambda: gzip.compress(b"id,name\n" + b"1,a\n" * (20 << 20))),
    "Parquet that is cut off": ("a.parquet", lambda: parquet()[:-20]),
    "a JSON array in place of lines": ("a.jsonl", lambda: b'[\n{"id": 1, "name": "a"}\n]\n'[:2] + b"1]\n"),
    "a JSON document that is cut off": ("a.json", lambda: b'[{"id": 1, "name": "a"}, {"id": 2, "na'),
    "a JSON document with two arrays of rows": ("a.json", lambda: b'{"a": [{"id": 1, "name": "a"}], "b": [{"id": 2}]}'),
    "a JSON array with a number among its rows": ("a.json", lambda: b'[{"id": 1, "name": "a"}, 7]'),
    "NaN in JSON": ("a.jsonl", lambda: b'{"id": 1, "name": "a"}\n{"id": NaN, "name": "b"}\n'),
    "a JSON key that stands twice": ("a.jsonl", lambda: b'{"id": 1, "name": "a"}\n{"id": 2, "id": 3, "name": "b"}\n'),
}


def seen(spec: MakeSpec, folder: Path, case: str) -> str:
    """What becomes of a file: how many rows, which of them set aside, or why it is refused."""
    name, made = FILES[case]
    (folder / name).write_bytes(made())
    try:
        rows = rows_of(spec(folder / name))
    except Refused as error:
        what = re.sub(r"(as parquet: ).*", r"\1…", error.what.partition(";\n")[0])  # Arrow's words, which change
        return f"`{type(error).__name__}`: {what}"
    aside = sum("__malformed" in row for row in rows)
    return f"{len(rows)} rows" + (f", {aside} of them a reject `malformed_row`" if aside else "")


def told() -> dict[str, str]:
    return dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)[2:])


@pytest.mark.parametrize("case", FILES)
def test_the_table_says_what_one_sees(case: str, spec: MakeSpec, tmp_path: Path) -> None:
    assert told()[case] == seen(spec, tmp_path, case)


def test_the_table_has_no_other_lines() -> None:
    assert set(told()) == set(FILES)
