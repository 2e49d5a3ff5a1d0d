"""Why a server lets nobody in: told by SQLSTATE, which libpq keeps to itself where a connection does not open.

Its words are in the language of the server. So the server is asked once more, and the code is read where libpq writes
down what goes over the wire.
"""

import os
import re
import select
import sys
import time
from contextlib import suppress

import psycopg
from psycopg import conninfo
from psycopg.pq import PGconn, Ping, PollingStatus, abc

TOO_MANY_CLIENTS = "53300"  # of the server, of a database, of a role
STARTING_OR_STOPPING = "57P03"
NO_ANSWER = "08001"  # nobody is there
LETS_IN = "00000"
_REFUSED = re.compile(rb'\tErrorResponse\t.*? C "(\w{5})"')


def refusal(url: str, seconds: int) -> str | None:
    """The SQLSTATE with which a connection to `url` is refused, LETS_IN where it is not, None where nobody can tell.

    Waits at most so many seconds for each answer.
    """
    with suppress(psycopg.Error, OSError):
        asked = conninfo.make_conninfo(url, connect_timeout=seconds).encode()
        if sys.platform == "linux":
            return _traced(asked, time.monotonic() + seconds)
        return {Ping.REJECT: STARTING_OR_STOPPING, Ping.NO_RESPONSE: NO_ANSWER}.get(Ping(PGconn.ping(asked)))
    return None


def _traced(asked: bytes, until: float) -> str | None:
    # In memory: it holds what a login says. Waiting is ours, since libpq's own would stop every thread of this process.
    with open(os.memfd_create("startup"), "rb") as wire:  # noqa: PTH123 - a descriptor, no path
        opening = PGconn.connect_start(asked)
        try:
            opening.trace(wire.fileno())
            if _is_open(opening, until):
                return LETS_IN
            opening.untrace()  # writes what it still holds
        finally:
            opening.finish()
        wire.seek(0)
        found = _REFUSED.search(wire.read())
    return found[1].decode() if found else NO_ANSWER


def _is_open(opening: abc.PGconn, until: float) -> bool:
    while (left := until - time.monotonic()) > 0:
        match opening.connect_poll():
            case PollingStatus.READING:
                _wait(opening.socket, select.POLLIN, left)
            case PollingStatus.WRITING:
                _wait(opening.socket, select.POLLOUT, left)
            case status:
                return status == PollingStatus.OK
    return False


def _wait(descriptor: int, event: int, seconds: float) -> None:
    waiting = select.poll()  # select() takes no descriptor above 1023, which a daemon may well have
    waiting.register(descriptor, event)
    waiting.poll(seconds * 1000)
