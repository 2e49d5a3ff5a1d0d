"""A local /v1/embeddings: answers at once and rightly, unless its script says otherwise for the next requests.

As a process of its own (`serving_process`) it answers with as many numbers per text as asked for in its arguments.
"""

import base64
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from ingest_project_tests.embeddings.working import DIMS, vector_of

Reply = tuple[int, dict[str, str], bytes]


def encoded(vector: Any) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def answer_to(texts: list[str], vector: Callable[[str], Any] = vector_of) -> dict[str, Any]:
    """What OpenAI's endpoint would say."""
    data = [{"object": "embedding", "index": at, "embedding": encoded(vector(text))} for at, text in enumerate(texts)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "model": "scripted", "data": data, "usage": usage}


def ok(answer: Any) -> Reply:
    return 200, {}, json.dumps(answer).encode()


def refusal(status: int, headers: dict[str, str] | None = None, code: str | None = None, words: str = "no") -> Reply:
    return status, headers or {}, json.dumps({"error": {"message": words, "type": "x", "code": code}}).encode()


@dataclass
class Endpoint:
    """`script`: replies to the next requests, in order, each made from the texts; afterwards `usual` answers."""

    url: str = ""
    script: list[Callable[[list[str]], Reply]] = field(default_factory=list[Callable[[list[str]], Reply]])
    usual: Callable[[list[str]], Reply] = lambda texts: ok(answer_to(texts))
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str] = field(default_factory=list[str])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any], key: str) -> Reply:
        with self.lock:
            self.requests.append(body)
            self.keys.append(key)
            act = self.script.pop(0) if self.script else self.usual
        return act(body["input"])

    @property
    def paid(self) -> Counter[str]:
        """How often each text was sent."""
        return Counter(text for request in self.requests for text in request["input"])


@contextmanager
def serving() -> Generator[Endpoint]:
    endpoint = Endpoint()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint.reply))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(reply: Callable[[dict[str, Any], str], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, data = reply(body, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def _serve(dims: int, per_second: float, port: Any) -> None:
    """Without latency, and without a limit unless `per_second` requests are one: then 429 until the second is over."""
    numbers = [1.0] * dims
    forms = {"base64": json.dumps(encoded(numbers)), "float": json.dumps(numbers)}
    window, served = [0], [0]
    lock = threading.Lock()

    def reply(body: dict[str, Any], key: str) -> Reply:
        now = time.time()
        with lock:
            if int(now) != window[0]:
                window[0], served[0] = int(now), 0
            served[0] += 1
            if per_second and served[0] > per_second:
                return refusal(429, {"Retry-After-Ms": str(int(1000 * (window[0] + 1 - now)) + 1)})
        return 200, {}, answer(len(body["input"]), body.get("encoding_format", "float"))

    @cache
    def answer(count: int, form: str) -> bytes:
        head = '{"object":"embedding",'
        data = ",".join(f'{head}"index":{at},"embedding":{forms[form]}}}' for at in range(count))
        usage = f'{{"prompt_tokens":{count},"total_tokens":{count}}}'
        return f'{{"object":"list","model":"scripted","data":[{data}],"usage":{usage}}}'.encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(reply))
    server.daemon_threads = True
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def serving_process(dims: int = DIMS, per_second: float = 0) -> Generator[str]:
    """Base URL of a server in a process of its own, so that it takes no time of the worker's."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(dims, per_second, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.kill()
        process.join()
