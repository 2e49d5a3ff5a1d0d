"""What buckets and memory have in common; `test_web` has web servers, `test_s3` a server that speaks S3."""

import gzip
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.errors import IngestError, Refused, SourceMissing, SourceMoved, SourceUnreadable
from ingest_project.extract import preflight, remote
from ingest_project.extract.location import resolve
from ingest_project.extract.remote_state import remote_state
from ingest_project.extract.source import Pin
from ingest_project.settings import settings
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of

CSV = b"id,name\n1,a\n2,b\n"


@pytest.fixture
def memory() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pipe("/in/a.csv", CSV)
    yield store
    store.store.clear()


def keys(found: tuple[str, list[Any]]) -> list[str]:
    return [place.key.removeprefix("memory://") for place in found[1]]


@pytest.mark.usefixtures("memory")
def test_one_file_is_pinned_read_and_sealed(spec: MakeSpec) -> None:
    source, pin = preflight.check(spec("memory://in/a.csv"))
    (file,) = pin.files
    assert (file.path, file.size, file.sha256) == ("memory:///in/a.csv", len(CSV), None)
    assert file.modified_ns is not None
    assert abs(file.modified_ns / 1e9 - time.time()) < 60
    assert Pin.from_json(pin.to_json()) == pin
    assert table_of(source.pages(pin, 1, None))["id"].to_pylist() == ["1", "2"]
    assert source.seal(pin) == pin


def test_a_pin_that_was_stored_before_there_were_etags() -> None:
    old = {"path": "a.csv", "size": 1, "modified_ns": 5, "sha256": "x"}
    pin = Pin.from_json({"format": "csv", "files": [old], "columns": ["id"], "estimated_rows": 1})
    assert pin.files[0].etag is None


def test_a_folder_gives_its_visible_children_sorted(memory: Any, spec: MakeSpec) -> None:
    for name in ("b.csv.gz", ".hidden.csv", "README.txt", "deeper/c.csv", "d.JSONL"):
        memory.pipe(f"/in/{name}", b"x")
    assert keys(resolve(spec("memory://in", format="csv"))) == ["/in/a.csv", "/in/b.csv.gz"]
    assert keys(resolve(spec("memory://in/", format="jsonl"))) == ["/in/d.JSONL"]


def test_a_glob_takes_files_only_and_brackets_may_be_a_name(memory: Any, spec: MakeSpec) -> None:
    for name in ("b.csv", "x/c.csv", "y.csv/d.csv", "a[1].csv"):
        memory.pipe(f"/in/{name}", CSV)
    assert keys(resolve(spec("memory://in/*.csv"))) == ["/in/a.csv", "/in/a[1].csv", "/in/b.csv"]
    assert keys(resolve(spec("memory://in/**/c.csv"))) == ["/in/x/c.csv"]
    assert keys(resolve(spec("memory://in/a[1].csv"))) == ["/in/a[1].csv"]


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("end", ["in/b.csv", "in/*.parquet", "nowhere", "nowhere/*"])
def test_nothing_there(end: str, spec: MakeSpec) -> None:
    with pytest.raises(SourceMissing, match=f"there is nothing at memory://{end}".replace("*", r"\*")) as caught:
        resolve(spec(f"memory://{end}"))
    assert caught.value.where["branch"] == "b"


def test_files_of_all_kinds_are_read_as_local_ones(memory: Any, spec: MakeSpec) -> None:
    data = io.BytesIO()
    pq.write_table(pa.table({"id": ["1", "2"], "name": ["a", "b"]}), data)
    files = {
        "1.parquet": data.getvalue(),
        "2.csv": CSV,
        "3.csv.gz": gzip.compress(CSV, mtime=0),
        "4.jsonl": b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}',
    }
    for name, content in files.items():
        memory.pipe(f"/all/{name}", content)
        assert rows_of(spec(f"memory://all/{name}"), 1) == [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]


def test_pages_span_files_and_resume(memory: Any, spec: MakeSpec) -> None:
    for number in range(20):
        memory.pipe(f"/many/{number:02}.csv", b"id,name\n" + b"".join(b"%d.%d,x\n" % (number, at) for at in range(7)))
    pages = pages_of(spec("memory://many"), 30)
    assert [page.table.num_rows for page in pages] == [30, 30, 30, 30, 20]
    resumed = pages_of(spec("memory://many"), 30, pages[1].cursor)
    assert [page.table for page in resumed] == [page.table for page in pages[2:]]


def test_what_moved_is_told_file_by_file(memory: Any, spec: MakeSpec) -> None:
    memory.pipe("/in/b.csv", CSV)
    _, pin = preflight.check(spec("memory://in"))
    memory.rm("/in/a.csv")
    memory.pipe("/in/b.csv", CSV + b"3,c\n")
    memory.pipe("/in/c.csv", CSV)
    source = preflight.open_source(spec("memory://in"))
    new, gone, longer = source.moved(pin)
    assert new == "memory:///in/c.csv: was not there, is new"
    assert gone.startswith("memory:///in/a.csv: was 16 bytes written ")
    assert gone.endswith("is gone")
    assert "was 16 bytes" in longer
    assert "is 20 bytes" in longer
    with pytest.raises(SourceMoved):
        next(source.pages(pin, 10, None))


def test_an_object_says_when_it_was_written(memory: Any, spec: MakeSpec) -> None:
    memory.store["/in/a.csv"].modified = datetime.now(UTC) - timedelta(days=3)
    _, pin = preflight.check(spec("memory://in/a.csv", limits={"max_age": timedelta(days=1)}))
    assert pin.written_at == memory.store["/in/a.csv"].modified


def test_an_object_that_got_shorter_while_it_was_read_is_not_half_loaded(
    memory: Any,
    spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, pin = preflight.check(spec("memory://in/a.csv"))
    real = type(memory).open

    def shorter(self: Any, path: str, mode: str, **more: Any) -> Any:
        return io.BytesIO(real(self, path, mode, **more).read()[:-4])

    monkeypatch.setattr(type(memory), "open", shorter)
    with pytest.raises(IngestError, match="it ends at byte 12 of 16") as caught:
        list(source.pages(pin, 10, None))
    assert not isinstance(caught.value, Refused)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("method", ["info", "open"])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError(13, "Access Denied"), SourceUnreadable, "Access Denied"),
        (TimeoutError("too slow"), IngestError, "cannot be reached: too slow"),
        (RuntimeError(""), IngestError, "cannot be reached: RuntimeError"),
    ],
)
def test_errors_of_a_store_are_ours(
    method: str,
    error: Exception,
    kind: type[IngestError],
    words: str,
    memory: Any,
    spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(memory), method, fail)
    with pytest.raises(IngestError, match=words) as caught:
        pages_of(spec("memory://in/a.csv"))
    assert type(caught.value) is kind


def test_a_scheme_whose_package_is_missing_names_it(spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError

    remote._store.cache_clear()
    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(SourceUnreadable, match="s3:// need the package s3fs") as caught:
        resolve(spec("s3://bucket/a.csv"))
    assert "pip install s3fs" in caught.value.todo


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("allowed", "location", "inside"),
    [
        ("memory://in", "memory://in/a.csv", True),
        ("memory://in/", "memory://in/*.csv", True),
        ("s3://x memory://in", "memory://in", True),
        ("memory://in", "memory://inner/a.csv", False),
        ("memory://in", "memory://i*/a.csv", False),
        ("memory://in/x", "memory://in/*", False),
        ("memory://in/x", "memory://in/x/../a.csv", False),
        ("s3://in", "memory://in/a.csv", False),
        ("", "memory://in/a.csv", False),
    ],
)
def test_only_prefixes_that_are_allowed(
    allowed: str, location: str, inside: bool, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGEST_REMOTE", allowed)
    settings.cache_clear()
    if inside:
        assert keys(resolve(spec(location))) == ["/in/a.csv"]
        return
    with pytest.raises(SourceUnreadable, match="outside the URLs that INGEST_REMOTE allows"):
        resolve(spec(location))


@pytest.mark.parametrize("location", ["simplecache::memory://in/a.csv", "zip://a.csv::memory://in/a.zip"])
def test_urls_inside_urls_are_no_way_around(location: str, spec: MakeSpec) -> None:
    with pytest.raises((SourceMissing, SourceUnreadable)):
        resolve(spec(location))


def test_a_password_of_a_bucket_is_not_taken_from_its_location(spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNT", "me:hush")
    with pytest.raises(SourceUnreadable, match="no place in its location") as caught:
        resolve(spec("memory://${ACCOUNT}@in/a.csv"))
    assert "hush" not in str(caught.value)


MOMENT = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("info", "modified_ns", "etag"),
    [
        ({"LastModified": datetime.fromtimestamp(1_700_000_000, UTC), "ETag": '"x"'}, MOMENT, '"x"'),
        ({"last_modified": datetime.fromtimestamp(1_700_000_000, UTC), "etag": "y"}, MOMENT, "y"),
        ({"updated": "2023-11-14T22:13:20.000Z", "generation": 17}, MOMENT, "17"),
        ({"mtime": 1_700_000_000.0}, MOMENT, None),
        ({"Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT"}, MOMENT, None),
        ({"Last-Modified": "2023-11-14 22:13:20"}, MOMENT, None),
        ({"Last-Modified": "yesterday"}, None, None),
        ({"mtime": 1e300}, None, None),
        ({}, None, None),
    ],
)
def test_each_store_says_time_and_tag_in_its_own_way(
    info: dict[str, object], modified_ns: int | None, etag: str | None
) -> None:
    class Store:
        def info(self, path: str) -> dict[str, object]:
            return {"name": path, "size": 5, **info}

        def modified(self, path: str) -> datetime:
            raise NotImplementedError

    state = remote_state(Store(), "a.csv")
    assert (state.size, state.modified_ns, state.etag) == (5, modified_ns, etag)
