"""One file of a source, on this machine or remote, behind one protocol; its key has no secrets in it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol


@dataclass(frozen=True)
class FileState:
    """What tells one state of a file from another; None is what its store does not say."""

    size: int
    modified_ns: int | None
    etag: str | None = None


class InputFile(Protocol):
    """One file. Its methods raise OSError."""

    @property
    def key(self) -> str:
        """How pins and messages name it."""
        ...

    @property
    def name(self) -> str:
        """The last part of its path: its extensions say what it holds."""
        ...

    def state(self) -> FileState:
        """Ask for its state now."""
        ...

    def open(self) -> BinaryIO:
        """Open it for reading from beginning to end."""
        ...

    def random_access(self) -> Any:
        """Give what Arrow can read at any offset: a path, or an open file that seeks."""
        ...

    def digest(self) -> str | None:
        """Read it all for its sha256; None where that costs too much."""
        ...


@dataclass(frozen=True, order=True)
class LocalFile:
    """A file of this machine."""

    path: Path

    @property
    def key(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    def state(self) -> FileState:
        """Give its size and time; it is opened first, to see that reading it is allowed."""
        with self.path.open("rb"):
            stat = self.path.stat()
        return FileState(stat.st_size, stat.st_mtime_ns)

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")

    def random_access(self) -> Path:
        """Give the path: Arrow opens it itself."""
        return self.path

    def digest(self) -> str:
        """Read it all."""
        with self.path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
