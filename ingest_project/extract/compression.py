"""gzip and zstandard, told by the extension: read whole or refused, and never blown up without end.

Both know where their data end. gzip always has a checksum; zstandard only where its writer made one (`zstd` does).
"""

import gzip
import io
import zlib
from pathlib import PurePath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.place import Place

_KINDS = {".gz": "gzip", ".zst": "zstandard"}
# A bomb is both: text of this project's kind packs to a tenth, seldom to a hundredth.
_HIGHEST_RATIO = 250
_HARMLESS = 64 << 20


def uncompressed_name(name: str) -> str:
    """The name without the extension that says how it is packed: a.csv of a.csv.gz."""
    return PurePath(name).stem if PurePath(name).suffix.lower() in _KINDS else name


def is_compressed(name: str) -> bool:
    """Whether the name says so."""
    return uncompressed_name(name) != name


def decompressed(handle: BinaryIO, place: Place) -> BinaryIO:
    """Read an open file through the compression that its name says, if any."""
    kind = _KINDS.get(PurePath(place.name).suffix.lower())
    return cast(BinaryIO, _Decompressed(handle, kind, place.look().size)) if kind else handle


class _Decompressed(io.RawIOBase):
    def __init__(self, handle: BinaryIO, kind: str, size: int) -> None:
        super().__init__()
        self._kind = kind
        self._most = max(_HARMLESS, _HIGHEST_RATIO * size)
        self._taken = 0
        self._stream: Any = (
            gzip.GzipFile(fileobj=handle) if kind == "gzip" else pa.CompressedInputStream(handle, "zstd")
        )

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give as many bytes as asked for, but at the end."""
        parts: list[bytes] = []
        while size > 0 and (part := self._part(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _part(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException, OSError) as error:
            raise self._refusal(error) from None
        self._taken += len(data)
        if self._taken > self._most:
            raise SourceUnreadable(
                f"the file unpacks to more than {_HIGHEST_RATIO} times its size: it looks like a {self._kind} bomb",
                todo="If it is meant, unpack it and let the branch name the unpacked file.",
            )
        return data

    def _refusal(self, error: Exception) -> SourceUnreadable:
        if isinstance(error, EOFError) or "Truncated" in str(error):
            return SourceUnreadable(
                f"the file is cut off: its {self._kind} data end in the middle",
                todo="Deliver the file again as a whole; nothing of it is ingested.",
            )
        return SourceUnreadable(f"the file cannot be unpacked as {self._kind}: {error}")
