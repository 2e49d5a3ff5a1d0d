"""Where the code can be told to end, read from the code; and a branch worked on in the smallest of steps."""

import re
from pathlib import Path

import ingest_project
from ingest_project.torture.chain import Doing
from ingest_project.upsert import parallel, rollback, tombstones

_PACKAGE = Path(ingest_project.__file__).parent
_REACH = re.compile(r"failpoints\.reach\((.*?)\)")


def points(*places: str) -> set[str]:
    """The names of all failpoints in these files and folders of the package."""
    found: set[str] = set()
    for place in places:
        path = _PACKAGE / place
        for file in [path] if path.is_file() else path.rglob("*.py"):
            found.update(_REACH.findall(file.read_text(encoding="utf-8")))
    assert all(name[0] == name[-1] == '"' for name in found), "the matrix can tell names that are spelt out"
    return {name.strip('"') for name in found}


def one_by_one(doing: Doing, name: str, batch_size: int, *, run_id: str) -> None:
    """Do it, in a process of its own, in so small pieces that there is more than one to be ended in."""
    tombstones._AT_ONCE = 1  # pyright: ignore[reportPrivateUsage]
    rollback._AT_ONCE = 1  # pyright: ignore[reportPrivateUsage]
    parallel._ROWS_PER_SESSION = 1  # pyright: ignore[reportPrivateUsage]
    doing(name, batch_size, run_id=run_id)
