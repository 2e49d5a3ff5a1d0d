"""Whether files hold what they held the last time: then they are not read again, and their parts are stored anew.

Each file must be the same, to the byte: first by size, then by the digest that seals a reading anyway. The branch file
must be the same, and the code that read them. Remote files have no digest: they are always read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingest_project.branches.activations import Activation
from ingest_project.code_version import code_version
from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.source import Pin, Source

# What a part depends on besides the files and the branch.
READER_VERSION = code_version(sorted(Path(__file__).parent.glob("*.py")), ["pyarrow"])


def pin_with_reader(pin: Pin, batch_size: int) -> dict[str, Any]:
    """What is kept of a source that was read to its end: its sealed pin, and how it was read."""
    return {**pin.to_json(), "reader": READER_VERSION, "batch_size": batch_size}


def seal_if_unchanged(
    source: Source, pin: Pin, activation: Activation, last: Activation, batch_size: int
) -> Pin | None:
    """The sealed pin, where reading the source would give what the last activation read. Raises SourceMoved."""
    if last.pin is None or last.spec != activation.spec:
        return None
    if (last.pin.get("reader"), last.pin.get("batch_size")) != (READER_VERSION, batch_size):
        return None
    last_pin = Pin.from_json(last.pin)
    if pin.columns != last_pin.columns or [file.size for file in pin.files] != [file.size for file in last_pin.files]:
        return None
    digests = [file.sha256 for file in last_pin.files]
    if not all(digests):
        return None
    sealed = source.seal(pin)
    return sealed if [file.sha256 for file in sealed.files] == digests else None


def can_reuse(parts: Sequence[ListedPart], begun: Sequence[ListedPart], rows: int | None, batch_size: int) -> bool:
    """Whether these parts have all of `rows` rows, none more than `batch_size`, and begin with the parts begun."""
    begins_alike = [part.digest for part in begun] == [part.digest for part in parts[: len(begun)]]
    sizes = [part.rows for part in parts]
    return begins_alike and sum(sizes) == rows and max(sizes) <= batch_size
