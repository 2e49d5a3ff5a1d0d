"""What files of text have in common: they are read as UTF-8, and their lines say how many rows there may be."""

from abc import ABC
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.compression import decompressed
from ingest_project.extract.files import Files
from ingest_project.extract.place import Place
from ingest_project.extract.recoding import recoded
from ingest_project.extract.utf8 import Utf8File

_SAMPLE = 1 << 20


@dataclass(frozen=True)
class TextFiles(Files, ABC):
    """Files of lines."""

    header_lines: ClassVar[int]

    def estimate(self, sizes: list[int]) -> int | None:
        """Count lines in the first megabyte of the first file, and go by size."""
        with self.utf8(self.places[0]) as handle:
            sample = handle.read(_SAMPLE)
            rows = sample.rstrip().count(b"\n") + 1 - self.header_lines
            return max(1, round(sum(sizes) * rows / handle.bytes_read))

    @contextmanager
    def utf8(self, place: Place, *, end_line: bool = False) -> Generator[Utf8File]:
        """Open a file, unpacked, as bytes that are UTF-8; what goes wrong with them is told in our words."""
        try:
            with place.open() as packed:
                handle = recoded(decompressed(packed, place), self.spec.encoding)
                yield Utf8File(handle, end_line=end_line, packed=packed)
        except SourceUnreadable as error:
            error.where = {**self.where(place), **error.where}
            raise
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
            raise self.refusal(place, error) from None

    def refusal(self, place: Place, error: Exception) -> SourceUnreadable:
        """Put an error of the reader into our words."""
        return self.unreadable(place, error)
