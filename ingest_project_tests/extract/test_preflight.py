import hashlib
import os
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.errors import (
    ColumnsMissing,
    SourceEmpty,
    SourceMoved,
    SourceUnreadable,
)
from ingest_project.extract import preflight
from ingest_project.extract.source import Pin
from ingest_project_tests.extract.conftest import MakeSpec


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_pin_says_what_will_be_read_and_survives_json(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.csv", "id,name\n1,a\n2,b\n")
    write(tmp_path / "b.csv", "name,id\nc,3\n")
    _, pin = preflight.check(spec(tmp_path))
    assert (pin.format, pin.columns) == ("csv", ("id", "name"))
    assert [(Path(file.path).name, file.size, file.sha256) for file in pin.files] == [
        ("a.csv", 16, None),
        ("b.csv", 12, None),
    ]
    assert pin.estimated_rows in (3, 4)
    assert Pin.from_json(pin.to_json()) == pin


@pytest.mark.parametrize("text", ["id,name\n", "id,name", "id,name\r\n\r\n\n"])
def test_a_header_alone_is_empty(text: str, tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceEmpty, match=r"has columns, and no rows: a\.csv"):
        preflight.check(spec(write(tmp_path / "a.csv", text)))


def test_zero_bytes_are_empty_even_beside_a_full_file(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.csv", "id,name\n1,a\n")
    write(tmp_path / "b.csv", "")
    with pytest.raises(SourceEmpty, match="zero bytes") as caught:
        preflight.check(spec(tmp_path))
    assert caught.value.where == {"branch": "b", "file": str(tmp_path / "b.csv")}


def test_parquet_without_rows_is_empty(tmp_path: Path, spec: MakeSpec) -> None:
    pq.write_table(
        pa.table({"id": pa.array([], pa.int64()), "name": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    with pytest.raises(SourceEmpty):
        preflight.check(spec(tmp_path))


def test_a_source_was_written_when_the_newest_of_its_files_was(tmp_path: Path, spec: MakeSpec) -> None:
    now = time.time()
    for name, days in (("a.csv", 3), ("b.csv", 2)):
        path = write(tmp_path / name, "id,name\n1,a\n")
        os.utime(path, (now - days * 86400,) * 2)
    _, pin = preflight.check(spec(tmp_path, limits={"max_age": timedelta(days=1)}))
    assert pin.written_at is not None
    assert round(now - pin.written_at.timestamp()) == 2 * 86400, "how old it may be is a gate"


def test_a_missing_column_is_named_with_the_ones_there_are(tmp_path: Path, spec: MakeSpec) -> None:
    path = write(tmp_path / "a.csv", "ID,Nmae,city\n1,a,x\n")
    with pytest.raises(ColumnsMissing) as caught:
        preflight.check(spec(path))
    words = str(caught.value)
    assert "'id' (did you mean 'ID'?), 'name' (did you mean 'Nmae'?)" in words
    assert "it has: ID, Nmae, city" in words
    assert caught.value.where == {"branch": "b", "file": str(path)}


HAD = ("id", "name", "city")
DECLARING = {"mapping": {"name": "name", "locality": "city"}}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.csv", "id,name,town\n1,a,x\n"),
        ("a.jsonl", '{"id": 1, "name": "a", "town": "x"}\n{"id": 2, "name": "b"}\n'),
        ("a.jsonl", '{"City": "x", "id": 1, "name": "a", "zip": 5}\n'),
        ("a.json", '[{"id": 1, "name": "a"}, {"id": 2, "name": "b", "town": "x"}]'),
    ],
)
def test_a_declared_column_that_was_renamed_is_missing(file: str, text: str, tmp_path: Path, spec: MakeSpec) -> None:
    declaring = spec(write(tmp_path / file, text), **DECLARING)
    with pytest.raises(ColumnsMissing) as caught:
        preflight.check(declaring, HAD)
    other = "town" if "town" in text else "City"
    assert f"no column 'city' (did you mean {other!r}?)" in caught.value.what
    assert (
        f"it has: {', '.join(name for name in ('City', 'id', 'name', 'town', 'zip') if name in text)}\n"
        in caught.value.what
    )
    assert caught.value.what.endswith("had:    id, name, city")


@pytest.mark.parametrize(
    "row",
    [
        '{"id": 1, "name": "a"}',  # a row need not have a key
        '{"id": 1, "name": "a", "town": "x", "zip": 5}',  # a new one, neither in its place nor spelt alike
        '{"id": 1, "name": "a", "town": "x", "city": null}',
    ],
)
def test_a_key_that_no_row_of_json_has_may_come_late(row: str, tmp_path: Path, spec: MakeSpec) -> None:
    _, pin = preflight.check(spec(write(tmp_path / "a.jsonl", row), **DECLARING), HAD)
    assert "city" in pin.columns
    assert pin.late == (() if "city" in row else ("city",))
    assert Pin.from_json(pin.to_json()) == pin


def test_a_file_of_several_that_has_the_key_is_enough(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.jsonl", '{"id": 1, "name": "a", "town": "x"}')
    write(tmp_path / "b.jsonl", '{"id": 2, "name": "b", "city": "x"}')
    _, pin = preflight.check(spec(tmp_path, **DECLARING), HAD)
    assert (pin.header, pin.late) == (("id", "name", "town", "city"), ())


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_recognized(mark: str, name: str, tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(ColumnsMissing, match=f"looks separated by {name}"):
        preflight.check(spec(write(tmp_path / "a.csv", f"id{mark}name\n1{mark}a\n")))


def test_headers_that_differ_are_both_shown(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.csv", "id,name,x\n1,a,1\n")
    write(tmp_path / "b.csv", "id,name,y\n1,a,1\n")
    with pytest.raises(SourceUnreadable, match=r"a\.csv: id, name, x\n +b\.csv: id, name, y"):
        preflight.check(spec(tmp_path))


def test_a_later_file_without_a_declared_column(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.csv", "id,name\n1,a\n")
    write(tmp_path / "b.csv", "id,title\n1,a\n")
    with pytest.raises(ColumnsMissing, match=r"b\.csv has no column 'name':\n +a\.csv: id, name\n +b\.csv: id, title"):
        preflight.check(spec(tmp_path))


def test_a_column_named_twice(tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match="a column more than once: 'name'"):
        preflight.check(spec(write(tmp_path / "a.csv", "id,name,name\n1,a,b\n")))


def test_a_column_that_postgres_cannot_name_is_refused(tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match="NUL in its name"):
        preflight.check(spec(write(tmp_path / "a.csv", "id,name,a\0b\n1,a,b\n")))


@pytest.mark.parametrize("ours", ["__row", "__malformed"])
def test_our_own_column_names_are_refused(ours: str, tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match=f"has a column {ours}"):
        preflight.check(spec(write(tmp_path / "a.csv", f"id,name,{ours}\n1,a,b\n")))


def test_a_file_that_may_not_be_read(tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", "id,name\n1,a\n")
    opened = Path.open

    def refuse(self: Path, *args: str, **more: str) -> object:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **more)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceUnreadable, match="cannot be read: Permission denied"):
        preflight.check(spec(path))


def test_truncated_parquet_and_what_is_none(tmp_path: Path, spec: MakeSpec) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": range(1000), "name": ["x"] * 1000}), path)
    for data in (path.read_bytes()[:-5], path.read_bytes()[:40], b"id,name\n1,a\n"):
        path.write_bytes(data)
        with pytest.raises(SourceUnreadable, match="cannot be read as parquet") as caught:
            preflight.check(spec(path))
        assert caught.value.where == {"branch": "b", "file": str(path)}


class TestMoved:
    def test_nothing_moved(self, tmp_path: Path, spec: MakeSpec) -> None:
        source, pin = preflight.check(spec(write(tmp_path / "a.csv", "id,name\n1,a\n")))
        assert source.moved(pin) == []

    def test_each_change_says_was_and_is(self, tmp_path: Path, spec: MakeSpec) -> None:
        for name in ("a.csv", "b.csv", "c.csv"):
            write(tmp_path / name, "id,name\n1,a\n")
        _, pin = preflight.check(spec(tmp_path))
        (tmp_path / "a.csv").unlink()
        write(tmp_path / "b.csv", "id,name\n1,abc\n")
        os.utime(tmp_path / "c.csv", ns=(0, 1))
        write(tmp_path / "d.csv", "id,name\n1,a\n")
        source = preflight.open_source(spec(tmp_path))
        new, gone, longer, again = source.moved(pin)
        assert new.endswith("d.csv: was not there, is new")
        assert "a.csv: was 12 bytes" in gone
        assert gone.endswith("is gone")
        assert "b.csv: was 12 bytes" in longer
        assert "is 14 bytes" in longer
        assert "c.csv: was 12 bytes" in again
        assert "is 12 bytes written 1970" in again

    def test_pages_refuse_at_once(self, tmp_path: Path, spec: MakeSpec) -> None:
        path = write(tmp_path / "a.csv", "id,name\n1,a\n")
        source, pin = preflight.check(spec(path))
        write(path, "id,name\n1,a\n2,b\n")
        with pytest.raises(SourceMoved, match="changed after it was pinned"):
            next(source.pages(pin, 10, None))

    def test_replaced_in_the_middle_is_seen_by_seal(self, tmp_path: Path, spec: MakeSpec) -> None:
        path = write(tmp_path / "a.csv", "id,name\n1,a\n2,b\n")
        source, pin = preflight.check(spec(path))
        pages = source.pages(pin, 1, None)
        next(pages)
        write(tmp_path / "new", "id,name\n1,a\n2,bb\n").replace(path)
        assert len(list(pages)) == 1
        with pytest.raises(SourceMoved, match=r"a\.csv: was 16 bytes"):
            source.seal(pin)

    def test_a_file_cut_while_it_is_read_has_moved_rather_than_being_unreadable(
        self, tmp_path: Path, spec: MakeSpec
    ) -> None:
        for name in ("a.parquet", "b.parquet"):
            pq.write_table(pa.table({"id": range(1000), "name": ["x"] * 1000}), tmp_path / name)
        source, pin = preflight.check(spec(tmp_path))
        pages = source.pages(pin, 100, None)
        next(pages)
        (tmp_path / "b.parquet").write_bytes(b"PAR1")
        with pytest.raises(SourceMoved):
            list(pages)

    def test_seal_gives_digests(self, tmp_path: Path, spec: MakeSpec) -> None:
        source, pin = preflight.check(spec(write(tmp_path / "a.csv", "id,name\n1,a\n")))
        sealed = source.seal(pin)
        assert sealed.files[0].sha256 == hashlib.sha256(b"id,name\n1,a\n").hexdigest()
        assert source.moved(sealed) == []
