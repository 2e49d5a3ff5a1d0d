"""A file, local or remote, behind one protocol: looked at, opened, and named without secrets."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol


@dataclass(frozen=True)
class Facts:
    """What tells one state of a file from another; None is what its store does not say."""

    size: int
    modified_ns: int | None
    etag: str | None = None


class Place(Protocol):
    """One file. Its methods raise OSError."""

    @property
    def key(self) -> str:
        """How pins and messages name it."""
        ...

    @property
    def name(self) -> str:
        """The last part of its path: its extensions say what it holds."""
        ...

    def look(self) -> Facts:
        """Say what it is like now."""
        ...

    def open(self) -> BinaryIO:
        """Open it for reading from beginning to end."""
        ...

    def for_arrow(self) -> Any:
        """Give what Arrow can read here and there, footer first."""
        ...

    def digest(self) -> str | None:
        """Read it all for its sha256; None where that costs too much."""
        ...


@dataclass(frozen=True, order=True)
class LocalPlace:
    """A file of this machine."""

    path: Path

    @property
    def key(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    def look(self) -> Facts:
        """Open it, to see that this is allowed, and say its size and time."""
        with self.path.open("rb"):
            facts = self.path.stat()
        return Facts(facts.st_size, facts.st_mtime_ns)

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")

    def for_arrow(self) -> Path:
        """Give the path: Arrow opens it itself."""
        return self.path

    def digest(self) -> str:
        """Read it all."""
        with self.path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
