"""Mends quotes inside quoted values that were not doubled, before Arrow reads the file and drops them in silence.

Of `"Bob "Bobby" Smith"` Arrow makes `Bob Bobby" Smith"`, and of `"abc"def` it makes `abcdef`: characters are lost, and
no later check can see it. Here such a line is rewritten by RFC 4180, if that gives it as many values as there are
columns: with the quotes doubled, or, where a value does not end in its closing quote, with all of its quotes kept.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

import numpy as np

_QUOTE = b'"'
_QUOTES = re.compile(b'""?')
_Value = tuple[bytes, int]  # a value as RFC 4180 writes it, and the position behind it
_ValueParser = Callable[[bytes, int, bytes], _Value | None]  # of (text, position, delimiter)
_Codes: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint8]]"
_Positions: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.intp]]"
_Mask: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool_]]"


class Readable(Protocol):
    """A file of UTF-8."""

    def read(self, size: int = -1, /) -> bytes: ...


class RequotedFile(io.RawIOBase):
    """A file for Arrow to read from: all lines are as they were, but those with stray quotes."""

    def __init__(self, file: Readable, delimiter: str, width: int) -> None:
        super().__init__()
        self._file = file
        self._delimiter = delimiter.encode()
        self._width = width
        self._is_edge = np.isin(np.arange(256), list(b'\r\n"' + self._delimiter[:1]))
        self._partial_line = b""
        self._output = b""
        self._is_at_end = False
        self._values_left = 0  # of the row whose value is open before the next line, see `_count_values_left`

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Give the next bytes, as many as asked for but at the end."""
        while not self._is_at_end and (size < 0 or len(self._output) < size):
            self._output += self._read_lines(size)
        end = len(self._output) if size < 0 else size
        data, self._output = self._output[:end], self._output[end:]
        return data

    def _read_lines(self, size: int) -> bytes:
        # Whole lines; one that is longer than `size` is cut, and so is not mended.
        data = self._file.read(size)
        self._is_at_end = not data
        text = self._partial_line + data
        end = text.rfind(b"\n") + 1 if data else 0
        end = end or len(text)
        self._partial_line = text[end:]
        return self._requote_lines(text[:end])

    def _requote_lines(self, text: bytes) -> bytes:
        output, copied = list[bytes](), 0
        for start, end, is_suspect, is_multiline in self._lines_of_interest(text) if _QUOTE in text else ():
            line = text[start:end]
            requoted = self._requote(line) if is_suspect else line
            if requoted != line:
                output += [text[copied:start], requoted]
                copied = end
            if requoted != line or is_multiline:
                self._values_left = _count_values_left(requoted, self._delimiter, self._values_left, self._width)
        return b"".join([*output, text[copied:]]) if output else text

    def _requote(self, line: bytes) -> bytes:
        # A value that is open before the line is parsed as if it began with the line.
        whole = _QUOTE + line if self._values_left else line
        if _ends_in_open_value(whole.rstrip(b"\r\n"), self._delimiter, self._values_left or self._width):
            return line
        if not self._values_left:
            return requote_line(line, self._delimiter, self._width)
        if any(parser(whole.rstrip(b"\r\n"), 0, self._delimiter) for parser in _QUOTED_PARSERS):
            return requote_line(whole, self._delimiter, self._values_left, _QUOTED_PARSERS)[1:]
        return _QUOTES.sub(_QUOTE * 2, line)  # the value goes on behind the line: all quotes are part of it

    def _lines_of_interest(self, text: bytes) -> Iterator[tuple[int, int, bool, bool]]:
        """Yield (start, end, is suspect, is multiline) of the lines that have to be looked into.

        Suspect are those with a quote that is stray. Those that may begin or end a value of several lines have an odd
        number of quotes, or an odd number stands before them, so that they end one value and may begin the next.
        """
        codes = np.frombuffer(b"\n" + text + b"\n\n", np.uint8)
        quotes, breaks = np.flatnonzero(codes == ord(_QUOTE)), np.flatnonzero(codes == ord("\n"))
        line_of_quote = np.searchsorted(breaks, quotes)
        suspect = np.unique(line_of_quote[self._is_stray(codes, quotes)])
        counts = np.bincount(line_of_quote)
        counts_before = np.cumsum(counts) - counts + (self._values_left > 0)
        multiline = np.flatnonzero((counts % 2 == 1) | ((counts > 0) & (counts_before % 2 == 1)))
        lines = np.union1d(suspect, multiline)
        yield from zip(
            breaks[lines - 1].tolist(),
            breaks[lines].tolist(),
            np.isin(lines, suspect).tolist(),
            np.isin(lines, multiline).tolist(),
            strict=True,
        )

    def _is_stray(self, codes: _Codes, quotes: _Positions) -> _Mask:
        # The value goes on at both sides of the quote, or behind what would be an empty value: ""Adler" Hotel".
        before, behind, next_but_one = (self._is_edge[codes[quotes + step]] for step in (-1, 1, 2))
        opens = (codes[quotes - 1] != ord(_QUOTE)) & before
        opens_empty_pair = opens & (codes[quotes + 1] == ord(_QUOTE)) & ~next_but_one
        return (~before & ~behind) | opens_empty_pair


def requote_line(line: bytes, delimiter: bytes, width: int, parsers: Sequence[_ValueParser] | None = None) -> bytes:
    """Write a line by RFC 4180, read by the first parser that gives it `width` values; unchanged, where none does."""
    text = line.rstrip(b"\r\n")
    for parser in parsers or (*_QUOTED_PARSERS, _parse_as_arrow):
        values = _parse_values(text, delimiter, parser)
        if values is not None and len(values) == width:
            return delimiter.join(values) + line[len(text) :]
    return line


def _parse_values(text: bytes, delimiter: bytes, parse_quoted: _ValueParser) -> list[bytes] | None:
    values, at = list[bytes](), 0
    while True:
        parse = parse_quoted if text.startswith(_QUOTE, at) else _parse_unquoted
        parsed = parse(text, at, delimiter)
        if parsed is None:
            return None
        value, end = parsed
        values.append(value)
        if end == len(text):
            return values
        at = end + len(delimiter)


def _parse_unquoted(text: bytes, at: int, delimiter: bytes) -> _Value:
    end = text.find(delimiter, at)
    end = len(text) if end < 0 else end
    return text[at:end], end


def _parse_doubled(text: bytes, at: int, delimiter: bytes) -> _Value | None:
    """Parse a value where two quotes stand for one, and one that does not end the value for itself."""
    return _parse_quoted(text, at, delimiter, pairs_are_one=True)


def _parse_undoubled(text: bytes, at: int, delimiter: bytes) -> _Value | None:
    """Parse a value of a program that puts quotes around it and doubles none inside."""
    return _parse_quoted(text, at, delimiter, pairs_are_one=False)


def _parse_quoted(text: bytes, at: int, delimiter: bytes, *, pairs_are_one: bool) -> _Value | None:
    value, at = bytearray(_QUOTE), at + 1
    while (quote := text.find(_QUOTE, at)) >= 0:
        value += text[at:quote]
        if pairs_are_one and text.startswith(_QUOTE, quote + 1):
            value, at = value + _QUOTE * 2, quote + 2
        elif _is_end_of_value(text, quote + 1, delimiter):
            return bytes(value + _QUOTE), quote + 1
        else:
            value, at = value + _QUOTE * 2, quote + 1
    return None


_QUOTED_PARSERS = (_parse_doubled, _parse_undoubled)


def _parse_as_arrow(text: bytes, at: int, delimiter: bytes) -> _Value | None:
    """Parse a value that ends where it does for Arrow; one that goes on behind its closing quote keeps its quotes."""
    end = _closing_quote(text, at)
    if end < 0:
        return None
    if _is_end_of_value(text, end + 1, delimiter):
        return text[at : end + 1], end + 1
    _, end = _parse_unquoted(text, end, delimiter)
    return _QUOTE + text[at:end].replace(_QUOTE, _QUOTE * 2) + _QUOTE, end


def _closing_quote(text: bytes, opening: int) -> int:
    """The position of the quote that closes a value by RFC 4180; -1 where none does."""
    at = text.find(_QUOTE, opening + 1)
    while at >= 0 and text.startswith(_QUOTE, at + 1):
        at = text.find(_QUOTE, at + 2)
    return at


def _ends_in_open_value(text: bytes, delimiter: bytes, width: int) -> bool:
    """Whether by RFC 4180 one of the first `width` values goes on in the next line, and those before it are right."""
    at = 0
    for _ in range(width):
        if text.startswith(_QUOTE, at):
            end = _closing_quote(text, at) + 1
            if not end:
                return True
        else:
            value, end = _parse_unquoted(text, at, delimiter)
            if _QUOTE in value:
                return False
        if not text.startswith(delimiter, end):
            return False
        at = end + len(delimiter)
    return False


def _is_end_of_value(text: bytes, at: int, delimiter: bytes) -> bool:
    return at == len(text) or text.startswith(delimiter, at)


def _count_values_left(line: bytes, delimiter: bytes, left_before: int, width: int) -> int:
    """How many values a row lacks where one goes on in the next line, that one among them; 0 where none does.

    `left_before` is the same of the line before.
    """
    text, at, is_open = line.rstrip(b"\r\n"), 0, left_before > 0
    left = left_before or width
    while True:
        if is_open or text.startswith(_QUOTE, at):
            at = _closing_quote(text, at - is_open)
            if at < 0:
                return max(left, 1)
        # Values without quotes are counted, not walked: a wide line has many.
        quoted = text.find(delimiter + _QUOTE, at)
        if quoted < 0:
            return 0
        left -= text.count(delimiter, at, quoted) + 1
        at, is_open = quoted + len(delimiter), False
