"""Why a server refuses connections: the SQLSTATE, which libpq does not tell when a connection fails to open.

Its message is in the language of the server, and so cannot be matched. Instead we connect once more and read the code
from libpq's trace of the protocol.
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
NO_ANSWER = "08001"  # nothing listens there
ACCEPTED = "00000"  # it is not refused any more
_REFUSED = re.compile(rb'\tErrorResponse\t.*? C "(\w{5})"')


def refusal(url: str, seconds: int) -> str | None:
    """The SQLSTATE with which a connection to `url` is refused, ACCEPTED where it is not, None where it is unknown.

    Waits at most so many seconds for each answer.
    """
    with suppress(psycopg.Error, OSError):
        parameters = conninfo.make_conninfo(url, connect_timeout=seconds).encode()
        if sys.platform == "linux":
            return _traced_sqlstate(parameters, time.monotonic() + seconds)
        return {Ping.REJECT: STARTING_OR_STOPPING, Ping.NO_RESPONSE: NO_ANSWER}.get(Ping(PGconn.ping(parameters)))
    return None


def _traced_sqlstate(parameters: bytes, deadline: float) -> str | None:
    # The trace stays in memory, as it contains the login. We poll ourselves, since a blocking connect of libpq would
    # stop every thread of this process.
    with open(os.memfd_create("startup"), "rb") as trace:  # noqa: PTH123 - a descriptor, no path
        connection = PGconn.connect_start(parameters)
        try:
            connection.trace(trace.fileno())
            if _is_open(connection, deadline):
                return ACCEPTED
            connection.untrace()  # flushes the trace
        finally:
            connection.finish()
        trace.seek(0)
        match = _REFUSED.search(trace.read())
    return match[1].decode() if match else NO_ANSWER


def _is_open(connection: abc.PGconn, deadline: float) -> bool:
    """Whether the connection opens by the deadline."""
    while (remaining := deadline - time.monotonic()) > 0:
        match connection.connect_poll():
            case PollingStatus.READING:
                _wait(connection.socket, select.POLLIN, remaining)
            case PollingStatus.WRITING:
                _wait(connection.socket, select.POLLOUT, remaining)
            case status:
                return status == PollingStatus.OK
    return False


def _wait(descriptor: int, event: int, seconds: float) -> None:
    poll = select.poll()  # select() takes no descriptor above 1023, which a daemon may well have
    poll.register(descriptor, event)
    poll.poll(seconds * 1000)
