"""Reads files packed by gzip or zstandard, known by their extension: whole or refused, and no decompression bombs.

Both formats know where their data end. gzip always has a checksum; zstandard only where its writer made one (`zstd`
does).
"""

import gzip
import io
import zlib
from pathlib import PurePath
from typing import Any, BinaryIO, cast

import pyarrow as pa

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.input_file import InputFile

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstandard"}
# A bomb exceeds both: text of this project's kind packs to a tenth, seldom to a hundredth.
_MAX_RATIO = 250
_MIN_BOMB_BYTES = 64 << 20


def uncompressed_name(name: str) -> str:
    """The name without the extension of a compression: a.csv of a.csv.gz."""
    return PurePath(name).stem if PurePath(name).suffix.lower() in _COMPRESSIONS else name


def is_compressed(name: str) -> bool:
    """Whether the name has the extension of a compression."""
    return uncompressed_name(name) != name


def decompressed(handle: BinaryIO, file: InputFile) -> BinaryIO:
    """Read an open file through the compression that its name says, if any."""
    compression = _COMPRESSIONS.get(PurePath(file.name).suffix.lower())
    return cast(BinaryIO, _DecompressedFile(handle, compression, file.state().size)) if compression else handle


class _DecompressedFile(io.RawIOBase):
    def __init__(self, handle: BinaryIO, compression: str, packed_size: int) -> None:
        super().__init__()
        self._compression = compression
        self._max_bytes = max(_MIN_BOMB_BYTES, _MAX_RATIO * packed_size)
        self._bytes_unpacked = 0
        self._stream: Any = (
            gzip.GzipFile(fileobj=handle) if compression == "gzip" else pa.CompressedInputStream(handle, "zstd")
        )

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give as many bytes as asked for, but at the end."""
        chunks: list[bytes] = []
        while size > 0 and (chunk := self._read_some(size)):
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def _read_some(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException, OSError) as error:
            raise self._refusal(error) from None
        self._bytes_unpacked += len(data)
        if self._bytes_unpacked > self._max_bytes:
            raise SourceUnreadable(
                f"the file unpacks to more than {_MAX_RATIO} times its size: it looks like a {self._compression} bomb",
                todo="If it is meant, unpack it and let the branch name the unpacked file.",
            )
        return data

    def _refusal(self, error: Exception) -> SourceUnreadable:
        if isinstance(error, EOFError) or "Truncated" in str(error):
            return SourceUnreadable(
                f"the file is cut off: its {self._compression} data end in the middle",
                todo="Deliver the file again as a whole; nothing of it is ingested.",
            )
        return SourceUnreadable(f"the file cannot be unpacked as {self._compression}: {error}")
