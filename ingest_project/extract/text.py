"""The base of all sources of text files: they are read as UTF-8, and their rows are estimated by counting lines."""

from abc import ABC
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.compression import decompressed
from ingest_project.extract.files import Files
from ingest_project.extract.input_file import InputFile
from ingest_project.extract.recoding import recoded
from ingest_project.extract.utf8 import Utf8File

_SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True)
class TextFiles(Files, ABC):
    """Files of lines."""

    header_lines: ClassVar[int]

    def estimate_rows(self, sizes: list[int]) -> int | None:
        """Count lines in the first megabyte of the first file, and go by size."""
        with self.open_utf8(self.inputs[0]) as handle:
            sample = handle.read(_SAMPLE_BYTES)
            rows = sample.rstrip().count(b"\n") + 1 - self.header_lines
            return max(1, round(sum(sizes) * rows / handle.bytes_read))

    @contextmanager
    def open_utf8(self, file: InputFile, *, end_line: bool = False) -> Generator[Utf8File]:
        """Open a file, unpacked, as UTF-8. Raises SourceUnreadable, inside the block as well."""
        try:
            with file.open() as packed:
                handle = recoded(decompressed(packed, file), self.spec.encoding)
                yield Utf8File(handle, end_line=end_line, packed=packed)
        except SourceUnreadable as error:
            error.where = {**self.where(file), **error.where}
            raise
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
            raise self.refusal(file, error) from None

    def refusal(self, file: InputFile, error: Exception) -> SourceUnreadable:
        """Give the error to raise for one of the reader's."""
        return self.unreadable(file, error)
