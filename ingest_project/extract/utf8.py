"""Checks that a file is UTF-8 while it is read: the first byte that is not ends the reading, and is named."""

import codecs
import io
from typing import BinaryIO

from ingest_project.errors import SourceUnreadable

_TAIL_BYTES = 64
_MAGIC_BYTES = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"BZh": "bzip2",
    b"PAR1": "Parquet",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Utf8File(io.RawIOBase):
    """A file of UTF-8 for Arrow to read from, which counts bytes. Raises SourceUnreadable with byte and line."""

    def __init__(self, handle: BinaryIO, *, end_line: bool = False, packed: BinaryIO | None = None) -> None:
        super().__init__()
        self._handle = handle
        self._packed = packed or handle
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line = 1
        self._first_bytes = b""
        self._end_line = end_line  # Arrow sees no header where the only line is not ended
        self._tail = b""
        self.text_bytes_read = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give the next bytes, as many as asked for but at the end."""
        data = self._handle.read(size)
        self._first_bytes = self._first_bytes or data[:4]
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(data, final=len(data) < size)
        except UnicodeDecodeError as error:
            raise self._refusal(error, data, pending) from None
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        self.text_bytes_read += len(data)
        self._line += data.count(b"\n")
        if self._end_line and len(data) < size:
            self._end_line = False
            return data + b"\n"
        return data

    @property
    def bytes_read(self) -> int:
        """How much of the file was read, in bytes as it is stored, packed or not."""
        return self._packed.tell()

    @property
    def ends_in_quote(self) -> bool:
        """Whether what was read so far ends in a quote, line breaks aside."""
        return self._tail.rstrip(b"\r\n").endswith(b'"')

    def _refusal(self, error: UnicodeDecodeError, data: bytes, pending: int) -> SourceUnreadable:
        kind = next((name for magic, name in _MAGIC_BYTES.items() if self._first_bytes.startswith(magic)), None)
        if kind:
            return SourceUnreadable(
                f"the file is not UTF-8 text: it looks like {kind}",
                todo="Write the source as UTF-8 text, or declare its `encoding` in the branch file.",
            )
        byte = self.text_bytes_read - pending + error.start
        line = self._line + data[: max(0, error.start - pending)].count(b"\n")
        return SourceUnreadable(
            f"the file is not UTF-8 at byte {byte:,}, line {line:,}: 0x{error.object[error.start]:02x}",
            where={"byte": byte, "line": line},
            todo="Declare its `encoding` in the branch file (windows-1252, say; where that byte is near the beginning, "
            "`ingest branch init` on the file tells more), or write it as UTF-8; then run again.",
        )
