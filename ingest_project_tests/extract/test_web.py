import asyncio
import gzip
import io
import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.errors import (
    IngestError,
    Refused,
    SourceEmpty,
    SourceMissing,
    SourceMoved,
    SourceStale,
    SourceUnreadable,
)
from ingest_project.extract import preflight
from ingest_project.extract.source import Cursor
from ingest_project.extract.web import RedirectRefused, _check_redirect
from ingest_project.settings import settings
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of
from ingest_project_tests.extract.web_server import Web, serving

pytest.importorskip("aiohttp", reason="http(s) needs aiohttp")
URL = pytest.importorskip("yarl").URL

CSV = b"id,name\n1,a\n2,b\n"
ROWS = [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.files["/a.csv"] = CSV
        yield web


def parquet(rows: int) -> bytes:
    data = io.BytesIO()
    text = [f"name of {at}" for at in range(rows)]
    pq.write_table(pa.table({"id": range(rows), "name": text}), data, row_group_size=5000, compression="none")
    return data.getvalue()


def allow(monkeypatch: pytest.MonkeyPatch, prefixes: str) -> None:
    monkeypatch.setenv("INGEST_REMOTE", prefixes)
    settings.cache_clear()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etag", [None, '"one"', 'W/"weak"'])
@pytest.mark.parametrize("modified", [None, 1_700_000_000])
def test_a_pin_has_what_the_server_says(
    modified: float | None, etag: str | None, ranges: bool, web: Web, spec: MakeSpec
) -> None:
    web.modified, web.etag, web.ranges = modified, etag, ranges
    source, pin = preflight.check(spec(f"{web.url}/a.csv"))
    (file,) = pin.files
    assert (file.path, file.size, file.etag) == (f"{web.url}/a.csv", len(CSV), etag)
    assert file.modified_ns == (None if modified is None else modified * 10**9)
    assert table_of(source.pages(pin, 10, None))["name"].to_pylist() == ["a", "b"]
    assert source.seal(pin) == pin


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV),
        ("a.jsonl", "\n".join(map(json.dumps, ROWS)).encode()),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)),
        ("a.ndjson.zst", pa.Codec("zstd").compress("\n".join(map(json.dumps, ROWS)).encode(), asbytes=True)),
        ("a%20b.csv", CSV),
    ],
)
def test_text_of_each_kind_is_read(name: str, data: bytes, ranges: bool, web: Web, spec: MakeSpec) -> None:
    web.ranges = ranges
    web.files[f"/{name}"] = data
    assert rows_of(spec(f"{web.url}/{name}"), 1) == ROWS


def test_a_packed_file_stays_packed_on_its_way(web: Web, spec: MakeSpec) -> None:
    web.files["/a.csv.gz"], web.encoding = gzip.compress(CSV, mtime=0), "gzip"
    assert rows_of(spec(f"{web.url}/a.csv.gz")) == ROWS


def test_a_great_file_is_one_answer_and_resumes(web: Web, spec: MakeSpec) -> None:
    data = b"id,name\n" + b"".join(b"%d,%s\n" % (at, b"x" * 50) for at in range(200_000))
    web.files["/a.csv"] = data
    source, pin = preflight.check(spec(f"{web.url}/a.csv"))
    web.requests.clear()
    pages = list(source.pages(pin, 70_000, None))
    assert web.requests.count(("GET", "")) == 2  # the header, and all of it
    assert [page.table.num_rows for page in pages] == [70_000, 70_000, 60_000]
    assert sum(page.bytes_read for page in pages) == len(data)
    assert [page.table for page in source.pages(pin, 70_000, pages[0].cursor)] == [page.table for page in pages[1:]]


def test_parquet_is_read_by_ranges_only_what_is_needed(web: Web, spec: MakeSpec) -> None:
    web.files["/a.parquet"] = data = parquet(300_000)
    branch = spec(f"{web.url}/a.parquet")
    assert len(data) > 5 << 20  # more than one block of fsspec's
    assert table_of(pages_of(branch, 100_000))["id"].to_pylist() == list(range(300_000))
    web.requests.clear()
    assert pages_of(branch, 1000, Cursor(0, 299_999, 299_999))[0].table["id"].to_pylist() == [299_999]
    assert all(span for method, span in web.requests if method == "GET")


def test_parquet_from_a_server_without_ranges_is_refused(web: Web, spec: MakeSpec) -> None:
    web.ranges = False
    web.files["/a.parquet"] = parquet(300_000)
    with pytest.raises(SourceUnreadable, match="whole files only"):
        pages_of(spec(f"{web.url}/a.parquet"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"etag": '"two"'}, r'is 16 bytes written 2023-11-14T22:13:20.000000\+00:00 \("two"\)'),
        ({"modified": 1_700_000_001}, r"22:13:21"),
        ({"files": {"/a.csv": CSV + b"3,c\n"}}, "was 16 bytes .* is 20 bytes"),
        ({"files": {}}, "is gone"),
    ],
)
def test_a_source_that_moved_is_noticed(change: dict[str, object], words: str, web: Web, spec: MakeSpec) -> None:
    source, pin = preflight.check(spec(f"{web.url}/a.csv"))
    assert source.moved(pin) == []
    vars(web).update(change)
    for notice in (lambda: next(source.pages(pin, 10, None)), lambda: source.seal(pin)):
        with pytest.raises(SourceMoved, match=words):
            notice()


class TestRefused:
    @pytest.mark.parametrize("status", [404, 410])
    def test_nothing_there(self, status: int, web: Web, spec: MakeSpec) -> None:
        web.status = status
        with pytest.raises(SourceMissing, match="there is nothing at"):
            preflight.check(spec(f"{web.url}/a.csv"))

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_not_for_us(self, status: int, web: Web, spec: MakeSpec) -> None:
        web.status = status
        with pytest.raises(SourceUnreadable, match=f"its server answers {status}"):
            preflight.check(spec(f"{web.url}/a.csv"))

    def test_no_size(self, web: Web, spec: MakeSpec) -> None:
        web.says_size = False
        with pytest.raises(SourceUnreadable, match="does not say how large the file is"):
            preflight.check(spec(f"{web.url}/a.csv"))

    def test_zero_bytes(self, web: Web, spec: MakeSpec) -> None:
        web.files["/a.csv"] = b""
        with pytest.raises(SourceEmpty, match="zero bytes"):
            preflight.check(spec(f"{web.url}/a.csv"))

    def test_an_age_that_nobody_knows(self, web: Web, spec: MakeSpec) -> None:
        limits = {"max_age": timedelta(days=36_500)}
        preflight.check(spec(f"{web.url}/a.csv", limits=limits))
        web.modified = None
        with pytest.raises(SourceStale, match="nothing says when"):
            preflight.check(spec(f"{web.url}/a.csv", limits=limits))


class TestTransient:
    """Not Refused: a refused activation is closed, an error leaves it open to be resumed."""

    def fails(self, spec: MakeSpec, url: str) -> IngestError:
        with pytest.raises(IngestError) as caught:
            pages_of(spec(url))
        assert not isinstance(caught.value, Refused)
        assert "cannot be reached" in caught.value.what
        return caught.value

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    def test_a_server_that_is_ill(self, status: int, web: Web, spec: MakeSpec) -> None:
        web.status = status
        assert f"answers {status}" in self.fails(spec, f"{web.url}/a.csv").what

    def test_nobody_listens(self, web: Web, spec: MakeSpec) -> None:
        assert self.fails(spec, "http://127.0.0.1:9/a.csv").where == {"file": "http://127.0.0.1:9/a.csv"}

    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.parquet"])
    def test_an_answer_that_is_cut_off(self, name: str, web: Web, spec: MakeSpec) -> None:
        plain = b'{"id": 1, "name": "a"}\n' if name == "a.jsonl" else CSV
        data = {"a.csv.gz": gzip.compress(CSV, mtime=0), "a.parquet": parquet(10)}.get(name, plain)
        web.files[f"/{name}"], web.cut = data, 3
        self.fails(spec, f"{web.url}/{name}")


class TestSecrets:
    def test_a_token_from_the_environment_is_sent_and_shown_nowhere(
        self, web: Web, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATA_TOKEN", "hush-hush")
        web.token = "hush-hush"
        location = f"{web.url}/a.csv?token=${{DATA_TOKEN}}"
        source, pin = preflight.check(spec(location))
        assert pin.files[0].path == location
        assert len(list(source.pages(pin, 1, None))) == 2
        assert "hush" not in json.dumps(pin.to_json())

    @pytest.mark.parametrize("change", [{"status": 403}, {"status": 500}, {"status": 404}, {"cut": 3}, {"token": "x"}])
    def test_no_error_shows_it(
        self, change: dict[str, object], web: Web, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATA_TOKEN", "hush-hush")
        vars(web).update(change)
        with pytest.raises(IngestError) as caught:
            pages_of(spec(f"{web.url}/a.csv?token=${{DATA_TOKEN}}"))
        assert "${DATA_TOKEN}" in str(caught.value)
        assert "hush" not in f"{caught.value} {caught.value.__cause__}"


class TestReach:
    def test_a_prefix_of_whole_parts_lets_in(self, web: Web, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
        web.files["/in/a.csv"] = CSV
        for prefix in (web.url, f"{web.url}/", f"{web.url}/in", f"s3://bucket {web.url}/in/"):
            allow(monkeypatch, prefix)
            assert rows_of(spec(f"{web.url}/in/a.csv")) == ROWS

    @pytest.mark.parametrize("end", ["/a.csv", "/in/../a.csv", "/in/%2e%2e/a.csv", "/inner/a.csv", "/%69/a.csv"])
    def test_what_is_outside_is_not_even_asked_for(
        self, end: str, web: Web, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        allow(monkeypatch, f"{web.url}/in")
        for url in (f"{web.url}{end}", "http://localhost/in/a.csv", "https://127.0.0.1/in/a.csv"):
            with pytest.raises(SourceUnreadable, match="outside the URLs that INGEST_REMOTE allows"):
                preflight.check(spec(url))
        assert web.requests == []

    def test_nothing_is_allowed_by_an_empty_setting(
        self, web: Web, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        allow(monkeypatch, "")
        with pytest.raises(SourceUnreadable, match="outside the URLs"):
            preflight.check(spec(f"{web.url}/a.csv"))

    def test_a_redirect_is_followed_to_where_we_may_go(
        self, web: Web, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        web.files["/there.csv"] = CSV
        for target in ("/there.csv", f"{web.url}/there.csv"):
            web.redirect = target
            assert rows_of(spec(f"{web.url}/a.csv")) == ROWS
        allow(monkeypatch, f"{web.url}/a.csv")
        with pytest.raises(SourceUnreadable, match=r"redirects to 127\.0\.0\.1, which INGEST_REMOTE does not allow"):
            preflight.check(spec(f"{web.url}/a.csv"))

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a.csv"])
    def test_a_redirect_to_another_scheme_is_not_followed(self, target: str, web: Web, spec: MakeSpec) -> None:
        web.redirect = target
        with pytest.raises(SourceUnreadable, match="redirects from http to f") as caught:
            preflight.check(spec(f"{web.url}/a.csv"))
        assert "passwd" not in str(caught.value)

    @pytest.mark.parametrize(
        ("origin", "target", "refused"),
        [
            ("https://a.org/x", "https://b.org/y", False),
            ("http://a.org/x", "https://a.org/y", False),
            ("https://a.org/x", "/y", False),
            ("https://a.org/x", "http://a.org/y", True),
            ("http://a.org/x", "file:///y", True),
        ],
    )
    def test_a_redirect_never_leaves_https(self, origin: str, target: str, refused: bool) -> None:
        answer = SimpleNamespace(url=URL(origin), headers={"Location": target})
        asking = _check_redirect(None, None, SimpleNamespace(url=URL(origin), response=answer))
        with pytest.raises(RedirectRefused) if refused else nullcontext():
            asyncio.run(asking)
