"""Quotes inside quoted values that were not doubled: read as what they stand for, before Arrow drops them.

Of `"Bob "Bobby" Smith"` Arrow makes `Bob Bobby" Smith"`, and of `"abc"def` it makes `abcdef`: characters are lost, and
no rule can say so, for none sees them. Here such a line is written as RFC 4180 has it, where that gives it as many
values as there are columns: with the quotes doubled, or, where the value does not end in one, all of it as it stands.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

import numpy as np

_QUOTE = b'"'
_QUOTES = re.compile(b'""?')
_Value = tuple[bytes, int]  # as it is to be read, quoted; and where it ends
_Way = Callable[[bytes, int, bytes], _Value | None]
_Codes: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint8]]"
_Places: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.intp]]"
_Told: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool_]]"


class Bytes(Protocol):
    """A file of UTF-8."""

    def read(self, size: int = -1, /) -> bytes: ...


class Requoted(io.RawIOBase):
    """What Arrow reads from: a file whose lines are all as they were, but those with such quotes."""

    def __init__(self, file: Bytes, delimiter: str, width: int) -> None:
        super().__init__()
        self._file = file
        self._delimiter = delimiter.encode()
        self._width = width
        self._is_edge = np.isin(np.arange(256), list(b'\r\n"' + self._delimiter[:1]))
        self._begun = b""  # of a line that is not ended yet
        self._ready = b""
        self._is_at_end = False
        self._left = 0  # where the next line begins within a value: how many its row lacks, that one among them

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give the next bytes, as many as asked for but at the end."""
        while not self._is_at_end and (size < 0 or len(self._ready) < size):
            self._ready += self._lines(size)
        end = len(self._ready) if size < 0 else size
        given, self._ready = self._ready[:end], self._ready[end:]
        return given

    def _lines(self, size: int) -> bytes:
        # Whole ones, but where one is longer than what is asked for: that is not looked into.
        data = self._file.read(size)
        self._is_at_end = not data
        text = self._begun + data
        end = text.rfind(b"\n") + 1 if data else 0
        end = end or len(text)
        self._begun = text[end:]
        return self._mended(text[:end])

    def _mended(self, text: bytes) -> bytes:
        made, done = list[bytes](), 0
        for start, end, is_suspect, is_across in self._suspects(text) if _QUOTE in text else ():
            line = text[start:end]
            mended = self._requoted(line) if is_suspect else line
            if mended != line:
                made += [text[done:start], mended]
                done = end
            if mended != line or is_across:
                self._left = _left_behind(mended, self._delimiter, self._left, self._width)
        return b"".join([*made, text[done:]]) if made else text

    def _requoted(self, line: bytes) -> bytes:
        # The value that the line begins within is taken as if it began with it.
        whole = _QUOTE + line if self._left else line
        if _goes_on(whole.rstrip(b"\r\n"), self._delimiter, self._left or self._width):
            return line
        if not self._left:
            return requoted(line, self._delimiter, self._width)
        if any(way(whole.rstrip(b"\r\n"), 0, self._delimiter) for way in _QUOTED):
            return requoted(whole, self._delimiter, self._left, _QUOTED)[1:]
        return _QUOTES.sub(_QUOTE * 2, line)  # no value ends in it: all of its quotes are meant

    def _suspects(self, text: bytes) -> Iterator[tuple[int, int, bool, bool]]:
        """Lines to be looked into: where they begin and end, and two reasons.

        A value seems to go on behind a quote where none can; the line may begin or end a value of several lines: the
        number of its quotes is odd, or those before it are, so that it has the end of one and perhaps the next.
        """
        codes = np.frombuffer(b"\n" + text + b"\n\n", np.uint8)
        places, breaks = np.flatnonzero(codes == ord(_QUOTE)), np.flatnonzero(codes == ord("\n"))
        lines = np.searchsorted(breaks, places)
        suspect = np.unique(lines[self._lone(codes, places)])
        counts = np.bincount(lines)
        before = np.cumsum(counts) - counts + (self._left > 0)
        across = np.flatnonzero((counts % 2 == 1) | ((counts > 0) & (before % 2 == 1)))
        wanted = np.union1d(suspect, across)
        yield from zip(
            breaks[wanted - 1].tolist(),
            breaks[wanted].tolist(),
            np.isin(wanted, suspect).tolist(),
            np.isin(wanted, across).tolist(),
            strict=True,
        )

    def _lone(self, codes: _Codes, places: _Places) -> _Told:
        before, behind, next_but_one = (self._is_edge[codes[places + step]] for step in (-1, 1, 2))
        is_first = (codes[places - 1] != ord(_QUOTE)) & before
        is_emptied = is_first & (codes[places + 1] == ord(_QUOTE)) & ~next_but_one
        return (~before & ~behind) | is_emptied


def requoted(line: bytes, delimiter: bytes, width: int, ways: Sequence[_Way] | None = None) -> bytes:
    """A line as RFC 4180 has it, read in the first way that gives it `width` values; as it is, where none does."""
    text = line.rstrip(b"\r\n")
    for value in ways or (*_QUOTED, _as_it_stands):
        made = _values(text, delimiter, value)
        if made is not None and len(made) == width:
            return delimiter.join(made) + line[len(text) :]
    return line


def _values(text: bytes, delimiter: bytes, value: _Way) -> list[bytes] | None:
    made, at = list[bytes](), 0
    while True:
        found = value(text, at, delimiter) if text.startswith(_QUOTE, at) else _plain(text, at, delimiter)
        if found is None:
            return None
        made.append(found[0])
        if found[1] == len(text):
            return made
        at = found[1] + len(delimiter)


def _plain(text: bytes, at: int, delimiter: bytes) -> _Value:
    end = text.find(delimiter, at)
    end = len(text) if end < 0 else end
    return text[at:end], end


def _pairs_are_one(text: bytes, at: int, delimiter: bytes) -> _Value | None:
    """A quote that is doubled is one; any other that no value ends behind is meant."""
    return _quoted(text, at, delimiter, pairs=True)


def _all_are_meant(text: bytes, at: int, delimiter: bytes) -> _Value | None:
    """Written by a program that puts quotes around a value and knows of none inside it."""
    return _quoted(text, at, delimiter, pairs=False)


def _quoted(text: bytes, at: int, delimiter: bytes, *, pairs: bool) -> _Value | None:
    made, at = bytearray(_QUOTE), at + 1
    while (quote := text.find(_QUOTE, at)) >= 0:
        made += text[at:quote]
        if pairs and text.startswith(_QUOTE, quote + 1):
            made, at = made + _QUOTE * 2, quote + 2
        elif _ends(text, quote + 1, delimiter):
            return bytes(made + _QUOTE), quote + 1
        else:
            made, at = made + _QUOTE * 2, quote + 1
    return None


_QUOTED = (_pairs_are_one, _all_are_meant)


def _as_it_stands(text: bytes, at: int, delimiter: bytes) -> _Value | None:
    """As Arrow parts values, but one that goes on behind its closing quote keeps its quotes."""
    end = _closing(text, at)
    if end < 0:
        return None
    if _ends(text, end + 1, delimiter):
        return text[at : end + 1], end + 1
    _, end = _plain(text, end, delimiter)
    return _QUOTE + text[at:end].replace(_QUOTE, _QUOTE * 2) + _QUOTE, end


def _closing(text: bytes, at: int) -> int:
    at = text.find(_QUOTE, at + 1)
    while at >= 0 and text.startswith(_QUOTE, at + 1):
        at = text.find(_QUOTE, at + 2)
    return at


def _goes_on(text: bytes, delimiter: bytes, width: int) -> bool:
    """Whether RFC 4180 has the last of at most `width` values go on in the next line, and nothing to mend before it."""
    at = 0
    for _ in range(width):
        if text.startswith(_QUOTE, at):
            end = _closing(text, at) + 1
            if not end:
                return True
        else:
            value, end = _plain(text, at, delimiter)
            if _QUOTE in value:
                return False
        if not text.startswith(delimiter, end):
            return False
        at = end + len(delimiter)
    return False


def _ends(text: bytes, at: int, delimiter: bytes) -> bool:
    return at == len(text) or text.startswith(delimiter, at)


def _left_behind(line: bytes, delimiter: bytes, left: int, width: int) -> int:
    """How many values a row lacks where one goes on in the next line, that one among them; 0 where none does.

    `left`: the same before this line.
    """
    text, at, is_open = line.rstrip(b"\r\n"), 0, left > 0
    left = left or width
    while True:
        if is_open or text.startswith(_QUOTE, at):
            at = _closing(text, at - is_open)
            if at < 0:
                return max(left, 1)
        # Values without quotes are counted, not walked: a wide line has many.
        quoted = text.find(delimiter + _QUOTE, at)
        if quoted < 0:
            return 0
        left -= text.count(delimiter, at, quoted) + 1
        at, is_open = quoted + len(delimiter), False
