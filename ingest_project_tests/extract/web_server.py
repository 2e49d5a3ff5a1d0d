"""A web server of the tests' own, on a free port: it can do without ranges, ETags, times, sizes and manners."""

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """Its files by path, and what it says and does."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    modified: float | None = 1_700_000_000
    ranges: bool = True
    says_size: bool = True
    encoding: str | None = None  # of a GET: some servers say so of every .gz
    status: int = 200
    redirect: str | None = None
    token: str | None = None
    cut: int = 0  # bytes of an answer that never come
    requests: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serving() -> Generator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def log_message(self, *args: object) -> None:
            pass

        def answer(self, *, with_body: bool) -> None:
            path, _, query = self.path.partition("?")
            web.requests.append((self.command, self.headers.get("Range", "")))
            data = web.files.get(path)
            if web.status != 200 or data is None or (web.token and query != f"token={web.token}"):
                self.empty(web.status if web.status != 200 else 404 if data is None else 403)
            elif web.redirect and path != "/there.csv":
                self.empty(302, web.redirect)
            else:
                self.body(data, with_body=with_body)

        def empty(self, status: int, location: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def body(self, data: bytes, *, with_body: bool) -> None:
            given = self.headers.get("Range")
            if web.ranges and given:
                first, _, last = given.removeprefix("bytes=").partition("-")
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
                data = data[int(first) : int(last) + 1]
            else:
                self.send_response(200)
            if web.encoding and with_body:
                self.send_header("Content-Encoding", web.encoding)
            for name, value in self.facts(data).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                with suppress(ConnectionError):  # who reads the header only hangs up
                    self.wfile.write(data[: len(data) - web.cut])
            if not web.says_size or web.cut:
                self.close_connection = True

        def facts(self, data: bytes) -> dict[str, str]:
            found = {"Content-Length": str(len(data))} if web.says_size else {}
            if web.etag:
                found["ETag"] = web.etag
            if web.modified is not None:
                found["Last-Modified"] = formatdate(web.modified, usegmt=True)
            return found

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
