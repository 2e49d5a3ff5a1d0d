"""The built-in baseline: feature hashing of words and character n-grams. It is lexical, not semantic, hence its name.

It needs no service, no download and no training, so it works offline at once. Texts that share words, or parts of
words, are near each other; synonyms are not. The same text gives the same vector on every machine.

All texts of a call are laid out in one array of code points. Prefix sums of code point times power give the hash of
any slice by one subtraction (a polynomial rolling hash modulo 2^64), so words and n-grams are hashed by whole-array
arithmetic, without a loop over words.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest_project.embeddings.providers import Vectors
from ingest_project.errors import UsageError

MODEL = "lexical-hashing"
GRAMS = (3, 4)
WORD_WEIGHT, GRAM_WEIGHT = 1.0, 0.25
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
_BORDER = 1  # before and after each word, so that n-grams at its beginning and end differ from those inside
_BMP_SIZE = 0x10000  # code points of the Basic Multilingual Plane
_SEPARATOR, _WORD, _ACCENT = 0, 1, 2  # classes of characters
_Codes = NDArray[np.uint64]
_Indices = NDArray[np.int64]


class Lexical:
    """Provider `builtin`."""

    name = "builtin"
    tokens = 0

    def __init__(self, model: str = MODEL, dims: int = 384) -> None:
        if model != MODEL:
            raise UsageError(f"the built-in provider has no model {model!r}", todo=f"Its one model is {MODEL!r}.")
        self.model = model
        self.dims = dims

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, float32 of shape (len(texts), dims)."""
        if not texts:
            return np.zeros((0, self.dims), np.float32)
        features = _Features(len(texts), self.dims)
        codes, rows = _lay_out([_fold(text) for text in texts])
        _add_features(features, codes, rows)
        vectors = features.sum()
        # A text without words, or whose features cancel each other out, gets a vector by its own hash.
        for row in map(int, np.flatnonzero(~vectors.any(axis=1))):
            vectors[row, _mix(np.uint64(hash_of(texts[row]))) % np.uint64(self.dims)] = 1
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKD", text.casefold())


def hash_of(text: str) -> int:
    """A number below 2^64 of a whole text, as it is."""
    value = 0
    for char in text:
        value = (value * int(_BASE) + ord(char) + 1) % (1 << 64)
    return value


@cache
def _character_classes() -> NDArray[np.uint8]:
    """The class of each code point of the BMP."""
    chars = [chr(code) for code in range(_BMP_SIZE)]
    is_word = [char.isalnum() or unicodedata.category(char)[0] == "M" for char in chars]
    classes = np.where(is_word, _WORD, _SEPARATOR).astype(np.uint8)
    classes[0x300:0x370] = _ACCENT
    return classes


def _lay_out(texts: list[str]) -> tuple[_Codes, _Indices]:
    """The words of all texts in one array, with borders between them and without accents; the text of each element."""
    codes = np.frombuffer(" ".join(texts).encode("utf-32-le", "surrogatepass") + b" \0\0\0", np.uint32)
    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    rows = np.repeat(np.arange(len(texts)), lengths)
    # All code points above the BMP belong to words.
    classes = np.where(codes < _BMP_SIZE, _character_classes()[np.minimum(codes, _BMP_SIZE - 1)], _WORD)
    kept = classes != _ACCENT
    in_word = classes[kept] == _WORD
    return np.where(in_word, codes[kept], _BORDER).astype(np.uint64), rows[kept]


def _add_features(features: "_Features", codes: _Codes, rows: _Indices) -> None:
    """Add the hashes of all words and n-grams."""
    codes = np.concatenate([[np.uint64(_BORDER)], codes])
    rows = np.concatenate([rows[:1], rows])
    in_word = codes != _BORDER
    edges = np.flatnonzero(np.diff(in_word.astype(np.int8)))
    starts, ends = edges[::2] + 1, edges[1::2] + 1  # every text ends with a border, so they come in pairs
    sums, inverses = _prefix_sums(codes)
    features.add(rows[starts], _slice_hashes(sums, inverses, starts, ends), WORD_WEIGHT)
    # An n-gram may begin or end with a border, but have none inside.
    borders_before = np.concatenate([[0], np.cumsum(~in_word)])
    for size in GRAMS:
        first = np.arange(len(codes) - size + 1)
        has_none_inside = borders_before[first + size - 1] == borders_before[first + 1]
        first = first[has_none_inside]
        hashes = _slice_hashes(sums, inverses, first, first + size) + np.uint64(size)
        features.add(rows[first + 1], hashes, GRAM_WEIGHT)


def _prefix_sums(codes: _Codes) -> tuple[_Codes, _Codes]:
    powers = np.cumprod(np.full(len(codes), _BASE))
    inverses = np.cumprod(np.full(len(codes), _INVERSE))
    return np.concatenate([[np.uint64(0)], np.cumsum((codes + np.uint64(1)) * powers)]), inverses


def _slice_hashes(sums: _Codes, inverses: _Codes, starts: _Indices, ends: _Indices) -> _Codes:
    """The hash of each slice, which does not depend on its position."""
    return (sums[ends] - sums[starts]) * inverses[starts]


def _mix(hashes: Any) -> Any:
    """Make every bit depend on every other (the finalizer of splitmix64)."""
    with np.errstate(over="ignore"):
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


class _Features:
    """Weights by text and dimension; one bit of the hash is the sign, so that collisions cancel out on average."""

    def __init__(self, texts: int, dims: int) -> None:
        self._shape = (texts, dims)
        self._indices: list[_Indices] = []  # into the flattened vectors
        self._weights: list[NDArray[np.float64]] = []

    def add(self, rows: _Indices, hashes: _Codes, weight: float) -> None:
        mixed = _mix(hashes)
        dims = np.uint64(self._shape[1])
        self._indices.append(rows * self._shape[1] + ((mixed >> np.uint64(1)) % dims).astype(np.int64))
        self._weights.append(np.where(mixed & np.uint64(1), weight, -weight))

    def sum(self) -> NDArray[np.float64]:
        indices, weights = np.concatenate(self._indices), np.concatenate(self._weights)
        flat: NDArray[np.float64] = np.bincount(indices, weights, self._shape[0] * self._shape[1])  # pyright: ignore
        return flat.reshape(self._shape)
