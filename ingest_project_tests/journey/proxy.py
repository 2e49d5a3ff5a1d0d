"""A wire between a client and Postgres that can be cut at a COMMIT, or stop to carry anything.

lost     the COMMIT never gets to the server: nothing of the transaction happened
unheard  the server commits, and its answer never gets to the client: everything happened
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Cut = Literal["lost", "unheard"]
_BLOCK = 1 << 16
_COMMIT = b"COMMIT\0"


class Proxy:
    """Carries bytes both ways; counts COMMITs over all connections and cuts the one that it was told to."""

    def __init__(self, url: str) -> None:
        self._server = conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._mute: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self.commits = 0
        self.cut_at: tuple[int, Cut] | None = None
        # In the clear: a COMMIT must be seen.
        here = {"host": "127.0.0.1", "port": str(self._listener.getsockname()[1]), "sslmode": "disable"}
        self.url = make_conninfo(url, **here)
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Carry nothing from now on; connections stay open."""
        self._flowing.clear()

    def flow(self) -> None:
        """Go on."""
        self._flowing.set()

    def close(self) -> None:
        self.flow()
        self._listener.close()
        for pair in self._pairs:
            _cut(*pair)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = self._connected()
                self._pairs.append((client, server))
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=self._to_client, args=(client, server), daemon=True).start()

    def _connected(self) -> socket.socket:
        host, port = str(self._server["host"]), str(self._server.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while block := client.recv(_BLOCK):
                self._flowing.wait()
                cut = self._cut_now(block)
                if cut == "unheard":
                    self._mute.add(server)
                if cut != "lost":
                    server.sendall(block)
                if cut == "lost":
                    break
        _cut(client, server)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while block := server.recv(_BLOCK):
                self._flowing.wait()
                if server in self._mute:
                    break  # the server has answered, so it has committed
                client.sendall(block)
        _cut(client, server)

    def _cut_now(self, block: bytes) -> Cut | None:
        # psycopg sends a COMMIT as one simple query and waits for its answer: it is always a block of its own.
        if not block.startswith(b"Q") or block[5:] != _COMMIT:
            return None
        with self._lock:
            self.commits += 1
            return self.cut_at[1] if self.cut_at and self.cut_at[0] == self.commits else None


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            end.close()


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A proxy in front of a server."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
