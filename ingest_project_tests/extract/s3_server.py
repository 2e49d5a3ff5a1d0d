"""A server that speaks S3, in this process, and a bucket in it; both skip where their packages are not there."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest_project.extract import remote

CSV = b"id,name\n1,a\n2,b\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="a server that speaks S3 needs moto[server]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An s3fs with a bucket `bucket`, which holds `in/a.csv`."""
    s3fs = pytest.importorskip("s3fs", reason="s3:// needs s3fs")
    # As a worker is told: by its environment alone.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    remote._store.cache_clear()  # pyright: ignore[reportPrivateUsage]
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    store.mkdir("bucket")
    store.pipe("bucket/in/a.csv", CSV)
    yield store
    store.rm("bucket", recursive=True)
    remote._store.cache_clear()  # pyright: ignore[reportPrivateUsage]
