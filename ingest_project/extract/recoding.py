"""Text in the encoding that its branch declares, as UTF-8."""

import codecs
import io
from typing import BinaryIO, cast

from ingest_project.errors import SourceUnreadable

UTF_8 = "utf-8"
_BLOCK = 1 << 20


def recoded(handle: BinaryIO, encoding: str) -> BinaryIO:
    """Read what is in `encoding` as UTF-8. Raises SourceUnreadable while reading what is not."""
    return handle if encoding == UTF_8 else cast(BinaryIO, io.BufferedReader(_Recoded(handle, encoding), _BLOCK))


class _Recoded(io.RawIOBase):
    def __init__(self, handle: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._handle = handle
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._held = memoryview(b"")
        self._taken = 0
        self._ended = False

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill the buffer as far as what is decoded goes; 0 at the end."""
        while not self._held and not self._ended:
            self._decode(self._handle.read(_BLOCK))
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count

    def _decode(self, data: bytes) -> None:
        self._ended = not data
        pending = len(self._decoder.getstate()[0])
        try:
            self._held = memoryview(self._decoder.decode(data, final=self._ended).encode())
        except UnicodeError as error:
            at = self._taken - pending + (error.start if isinstance(error, UnicodeDecodeError) else 0)
            raise SourceUnreadable(
                f"the file is not {self._encoding} at byte {at:,}",
                where={"byte": at},
                todo="Declare the encoding that it has in the branch file, then run again.",
            ) from None
        self._taken += len(data)
