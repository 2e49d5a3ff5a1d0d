import time
from typing import Any

import pytest

from ingest_project.errors import SourceMissing, SourceMoved, SourceUnreadable
from ingest_project.extract import preflight
from ingest_project.extract.location import resolve
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of
from ingest_project_tests.extract.s3_server import CSV, bucket, endpoint

__all__ = ["bucket", "endpoint"]


def test_an_object_is_pinned_by_its_etag_and_read(bucket: Any, spec: MakeSpec) -> None:
    source, pin = preflight.check(spec("s3://bucket/in/a.csv"))
    (file,) = pin.files
    assert (file.path, file.size) == ("s3://bucket/in/a.csv", len(CSV))
    assert file.etag == bucket.info("bucket/in/a.csv")["ETag"]
    assert file.modified_ns is not None
    assert abs(file.modified_ns / 1e9 - time.time()) < 60
    assert table_of(source.pages(pin, 1, None))["name"].to_pylist() == ["a", "b"]
    assert source.seal(pin) == pin


def test_the_same_size_with_other_bytes_has_moved(bucket: Any, spec: MakeSpec) -> None:
    source, pin = preflight.check(spec("s3://bucket/in/a.csv"))
    bucket.pipe("bucket/in/a.csv", CSV.replace(b"a\n", b"z\n"))
    with pytest.raises(SourceMoved, match="was 16 bytes"):
        next(source.pages(pin, 10, None))


def test_a_folder_and_a_glob(bucket: Any, spec: MakeSpec) -> None:
    bucket.pipe({"bucket/in/b.csv": b"id,name\n3,c\n", "bucket/in/x/c.csv": CSV, "bucket/in/readme.txt": b"x"})
    for location in ("s3://bucket/in", "s3://bucket/in/", "s3://bucket/in/*.csv"):
        assert [row["id"] for row in rows_of(spec(location))] == ["1", "2", "3"]


def test_what_was_listed_once_is_asked_for_again(bucket: Any, spec: MakeSpec) -> None:
    source, pin = preflight.check(spec("s3://bucket/in/*.csv"))
    bucket.pipe("bucket/in/a.csv", CSV.replace(b"a\n", b"z\n"))
    (changed,) = source.moved(pin)
    assert "in/a.csv: was 16 bytes" in changed
    resolve(spec("s3://bucket/in/*.csv"))
    bucket.pipe("bucket/in/b.csv", CSV)
    assert "in/b.csv: was not there, is new" in preflight.open_source(spec("s3://bucket/in/*.csv")).moved(pin)[0]


def test_a_great_object_is_read_in_blocks_and_resumes(bucket: Any, spec: MakeSpec) -> None:
    data = b"id,name\n" + b"".join(b"%d,%s\n" % (at, b"x" * 200) for at in range(100_000))
    bucket.pipe("bucket/great.csv", data)
    pages = pages_of(spec("s3://bucket/great.csv"), 40_000)
    assert [page.table.num_rows for page in pages] == [40_000, 40_000, 20_000]
    resumed = pages_of(spec("s3://bucket/great.csv"), 40_000, pages[0].cursor)
    assert [page.table for page in resumed] == [page.table for page in pages[1:]]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("location", ["s3://bucket/no.csv", "s3://bucket/no/*.csv", "s3://nowhere/a.csv"])
def test_nothing_there(location: str, spec: MakeSpec) -> None:
    with pytest.raises((SourceMissing, SourceUnreadable)):
        preflight.check(spec(location))
