"""Files that hold what they held the last time are not read again: the parts that they became are stored once more.

They are the same where each is, to the byte: first by size, then by the digest that seals a reading anyway. The branch
must say the same of them, and they must have been read by the same code. Remote files have no digest: they are read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingest_project.branches.activations import Activation
from ingest_project.code_version import code_version
from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.source import Pin, Source

# What a part depends on besides the files and the branch.
READER = code_version(sorted(Path(__file__).parent.glob("*.py")), ["pyarrow"])


def sealed_by(pin: Pin, batch_size: int) -> dict[str, Any]:
    """The pin of a source that was read to its end, with the version of its reader and the rows that it cut by."""
    return {**pin.to_json(), "reader": READER, "batch_size": batch_size}


def sealed_as_before(source: Source, pin: Pin, now: Activation, last: Activation, batch_size: int) -> Pin | None:
    """The sealed pin, where reading the source would give what the last activation read. Raises SourceMoved."""
    if last.pin is None or last.spec != now.spec:
        return None
    if (last.pin.get("reader"), last.pin.get("batch_size")) != (READER, batch_size):
        return None
    before = Pin.from_json(last.pin)
    if pin.columns != before.columns or [one.size for one in pin.files] != [one.size for one in before.files]:
        return None
    digests = [one.sha256 for one in before.files]
    if not all(digests):
        return None
    sealed = source.seal(pin)
    return sealed if [one.sha256 for one in sealed.files] == digests else None


def cut_alike(parts: Sequence[ListedPart], begun: Sequence[ListedPart], rows: int | None, batch_size: int) -> bool:
    """Whether these are all parts of `rows` rows, none larger than is wanted now, and those begun are the first."""
    same = [one.digest for one in begun] == [one.digest for one in parts[: len(begun)]]
    sizes = [one.rows for one in parts]
    return same and sum(sizes) == rows and max(sizes) <= batch_size
