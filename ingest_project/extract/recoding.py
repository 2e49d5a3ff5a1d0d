"""Reads text in the encoding that its branch declares as UTF-8."""

import codecs
import io
from typing import BinaryIO, cast

from ingest_project.errors import SourceUnreadable

_BLOCK = 1 << 20


def recoded(handle: BinaryIO, encoding: str) -> BinaryIO:
    """Read what is in `encoding` as UTF-8. Raises SourceUnreadable while reading what is not."""
    return handle if encoding == "utf-8" else cast(BinaryIO, io.BufferedReader(_RecodedFile(handle, encoding), _BLOCK))


class _RecodedFile(io.RawIOBase):
    def __init__(self, handle: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._handle = handle
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._buffered = memoryview(b"")
        self._bytes_read = 0
        self._is_at_end = False

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill the buffer as far as what is decoded goes; 0 at the end."""
        while not self._buffered and not self._is_at_end:
            self._decode(self._handle.read(_BLOCK))
        count = min(len(buffer), len(self._buffered))
        buffer[:count] = self._buffered[:count]
        self._buffered = self._buffered[count:]
        return count

    def _decode(self, data: bytes) -> None:
        self._is_at_end = not data
        pending = len(self._decoder.getstate()[0])
        try:
            self._buffered = memoryview(self._decoder.decode(data, final=self._is_at_end).encode())
        except UnicodeError as error:
            byte = self._bytes_read - pending + (error.start if isinstance(error, UnicodeDecodeError) else 0)
            raise SourceUnreadable(
                f"the file is not {self._encoding} at byte {byte:,}",
                where={"byte": byte},
                todo="Declare the encoding that it has in the branch file, then run again.",
            ) from None
        self._bytes_read += len(data)
