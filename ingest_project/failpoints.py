"""Named points in the code where a test can kill the process, as a power cut would.

`INGEST_FAILPOINT=name` kills the process (SIGKILL) when it first gets there, `name:3` the third time;
`name!` raises instead. Costs one comparison where unset.
"""

import os
import signal
from collections import Counter
from threading import Lock

_armed = os.environ.get("INGEST_FAILPOINT", "")
_hits: Counter[str] = Counter()
_hits_lock = Lock()


class FailpointReached(Exception):
    """Raised by `INGEST_FAILPOINT=name!`."""


def arm(spec: str) -> None:
    """Arm one failpoint in this process (`""` disarms) and reset the counts."""
    global _armed  # noqa: PLW0603 - the one piece of state of this module
    _armed = spec
    _hits.clear()


def reach(name: str) -> None:
    """Mark the point `name`; ends the process there if a test asked for it."""
    if not _armed:
        return
    armed_name, _, count = _armed.partition(":")
    if armed_name.rstrip("!") != name:
        return
    with _hits_lock:
        _hits[name] += 1
        if _hits[name] < int(count or 1):
            return
    if armed_name.endswith("!"):
        raise FailpointReached(name)
    os.kill(os.getpid(), signal.SIGKILL)
