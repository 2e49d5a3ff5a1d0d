"""The built-in baseline: feature hashing of words and character n-grams. Lexical, not semantic, and named so.

It needs no service, no download and no training, so it works offline at once: texts that share words, or parts of
words, are near each other; synonyms are not. Same text, same vector, on every machine.

All texts of a call are one array of code points. A prefix sum of code point times power gives the hash of any
piece by one subtraction (a rolling hash, modulo 2^64), so that words and n-grams are hashed by whole-array
arithmetic: no loop over words.
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
_BORDER, _SPACE = 1, 32  # before and after each word, so that a beginning is another gram than a middle
_ASTRAL = 0x10000
_Codes = NDArray[np.uint64]
_Places = NDArray[np.int64]


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
        codes, rows = _laid_out([_folded(text) for text in texts])
        _hash_words(features, codes, rows)
        vectors = features.summed()
        for row in map(
            int, np.flatnonzero(~vectors.any(axis=1))
        ):  # nothing but signs, or features that cancel each other
            vectors[row, _mixed(np.uint64(hash_of(texts[row]))) % np.uint64(self.dims)] = 1
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKD", text.casefold())


def hash_of(text: str) -> int:
    """A number below 2^64 of a whole text, as it is."""
    value = 0
    for char in text:
        value = (value * int(_BASE) + ord(char) + 1) % (1 << 64)
    return value


@cache
def _kinds() -> NDArray[np.uint8]:
    """By code point: 1 belongs to a word, 2 is an accent and falls out, 0 parts words. Above the BMP all is word."""
    chars = [chr(code) for code in range(_ASTRAL)]
    word = [char.isalnum() or unicodedata.category(char)[0] == "M" for char in chars]
    kinds = np.array(word, np.uint8)
    kinds[0x300:0x370] = 2
    return kinds


def _laid_out(texts: list[str]) -> tuple[_Codes, _Places]:
    """Words of all texts in one array, each between two borders, accents gone; and the text each place is of."""
    codes = np.frombuffer(" ".join(texts).encode("utf-32-le", "surrogatepass") + b" \0\0\0", np.uint32)
    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    rows = np.repeat(np.arange(len(texts)), lengths)
    kinds = np.where(codes < _ASTRAL, _kinds()[np.minimum(codes, _ASTRAL - 1)], 1)
    kept = kinds != 2  # noqa: PLR2004 - see _kinds
    inside = kinds[kept] == 1
    return np.where(inside, codes[kept], _BORDER).astype(np.uint64), rows[kept]


def _hash_words(features: "_Features", codes: _Codes, rows: _Places) -> None:
    codes = np.concatenate([[np.uint64(_BORDER)], codes])
    rows = np.concatenate([rows[:1], rows])
    inside = codes != _BORDER
    edges = np.flatnonzero(np.diff(inside.astype(np.int8)))
    starts, ends = edges[::2] + 1, edges[1::2] + 1  # every text ends with a border, so they come in pairs
    sums, inverses = _prefix_sums(codes)
    features.add(rows[starts], _pieces(sums, inverses, starts, ends), WORD_WEIGHT)
    # A gram may begin or end with a border, never reach over one.
    crossed = np.concatenate([[0], np.cumsum(~inside)])
    for size in GRAMS:
        first = np.arange(len(codes) - size + 1)
        within = crossed[first + size - 1] == crossed[first + 1]
        first = first[within]
        features.add(rows[first + 1], _pieces(sums, inverses, first, first + size) + np.uint64(size), GRAM_WEIGHT)


def _prefix_sums(codes: _Codes) -> tuple[_Codes, _Codes]:
    powers = np.cumprod(np.full(len(codes), _BASE))
    inverses = np.cumprod(np.full(len(codes), _INVERSE))
    return np.concatenate([[np.uint64(0)], np.cumsum((codes + np.uint64(1)) * powers)]), inverses


def _pieces(sums: _Codes, inverses: _Codes, starts: _Places, ends: _Places) -> _Codes:
    """The hash of each piece, wherever it stands."""
    return (sums[ends] - sums[starts]) * inverses[starts]


def _mixed(hashes: Any) -> Any:
    """Every bit depends on every other (the finalizer of splitmix64)."""
    with np.errstate(over="ignore"):
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


class _Features:
    """Weights by text and dimension; a bit of the hash is the sign, so that collisions cancel on average."""

    def __init__(self, texts: int, dims: int) -> None:
        self._shape = (texts, dims)
        self._places: list[NDArray[np.int64]] = []
        self._weights: list[NDArray[np.float64]] = []

    def add(self, rows: _Places, hashes: _Codes, weight: float) -> None:
        mixed = _mixed(hashes)
        dims = np.uint64(self._shape[1])
        self._places.append(rows * self._shape[1] + ((mixed >> np.uint64(1)) % dims).astype(np.int64))
        self._weights.append(np.where(mixed & np.uint64(1), weight, -weight))

    def summed(self) -> NDArray[np.float64]:
        places, weights = np.concatenate(self._places), np.concatenate(self._weights)
        summed: NDArray[np.float64] = np.bincount(places, weights, self._shape[0] * self._shape[1])  # pyright: ignore
        return summed.reshape(self._shape)
