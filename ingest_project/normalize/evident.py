"""Texts that are evidently in normal form are accepted by patterns of RE2, without asking the rule.

A pattern that accepts too little only costs time. The first one accepts Latin text, which is most of most columns. The
second, for the rest, is derived from the tables of Unicode and from ftfy: it accepts characters that normalization
leaves as they are, in texts without anything that ftfy might take for mojibake.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import count, groupby

import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE

from ingest_project.item import SUSPECT
from ingest_project.normalize.columns import matches_pattern

# Words of printable ASCII with single Latin letters among it, and single spaces between them, are in normal form:
# mojibake has two other characters in a row, or one of the four left out here (Â, Ã, Œ, œ). HTML entities have a
# semicolon and guarded texts an equals sign, so that these two are left to the second pattern.
_PLAIN = "!-:<>-~"
_LETTER = "[ÀÁÄ-ÖØ-öø-\u0151\u0154-\u024f]"
_WORD = rf"(?:[{_PLAIN}]+(?:{_LETTER}[{_PLAIN}]+)*{_LETTER}?|{_LETTER}(?:[{_PLAIN}]+{_LETTER})*[{_PLAIN}]*)"
LATIN_WORDS = rf"^{_WORD}(?: {_WORD})*$"
# ftfy's own pattern, or a little more, for RE2: without the white space and comments of a verbose pattern. The \w of
# RE2 is ASCII only, so that all other characters are added to it. So is its \s, but texts with other spaces do not get
# here.
MOJIBAKE = re.sub(r"(?a)(\[[^]]*\])|\s+|#.*", r"\1", BADNESS_RE.pattern).replace(r"\w", r"[\w[:^ascii:]]")
# The rule also repairs entities and removes the guards of spreadsheets.
_TO_MEND = rf'{MOJIBAKE}|&#?[0-9A-Za-z]+;|^="'
_END_OF_TABLES = 0x20000  # the characters from here on, rare ideographs, are left to the rule
_EXCLUDED = r"\x00- \x7f-\xa0\x{20000}-\x{10ffff}"
_JAMO = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]  # vowels and finals, which combine with the character before


def accepted_texts(array: pa.Array, *, multiline: bool = False) -> pa.Array:
    """Which texts the rule would certainly leave as they are; never nulls."""
    latin, stable = [_in_lines(words) if multiline else words for words in (LATIN_WORDS, stable_words())]
    is_latin = matches_pattern(array, latin)
    is_other = pc.and_(pc.is_valid(array), pc.invert(is_latin))
    if not pc.any(is_other).as_py():
        return is_latin
    others = array.filter(is_other)
    accepted = pc.and_(matches_pattern(others, stable), pc.invert(matches_pattern(others, _TO_MEND)))
    return pc.replace_with_mask(is_latin, is_other, accepted)


def _in_lines(words: str) -> str:
    """The same pattern for words in several lines."""
    return words.replace("(?: ", r"(?:(?: |\n+)")


@cache
def stable_words() -> str:
    """A pattern of words, with single spaces between them, that NFC leaves as they are.

    None of their characters takes part in a composition, and the marks that follow one are in canonical order.
    """
    chars = [chr(code) for code in (*range(0xA1, 0xD800), *range(0xE000, _END_OF_TABLES))]
    canonical = [char for char in chars if (mapping := unicodedata.decomposition(char)) and mapping[0] != "<"]
    unstable = {chr(int(code, 16)) for char in canonical for code in unicodedata.decomposition(char).split()[1:]}
    unstable |= {char for char in canonical if not unicodedata.is_normalized("NFC", char)}
    unstable |= {*SUSPECT.findall("".join(chars)), *map(chr, _JAMO)}
    marks = [char for char in chars if unicodedata.combining(char)]
    by_class = groupby(sorted({*marks} - unstable, key=unicodedata.combining), unicodedata.combining)
    ordered_marks = "".join(f"[{_ranges(members)}]*" for _, members in by_class)
    word = f"(?:[^{_EXCLUDED}{_ranges(unstable.union(marks))}]{ordered_marks})+"
    return f"^{word}(?: {word})*$"


def _ranges(chars: Iterable[str]) -> str:
    """The characters as ranges, for a character class of RE2."""
    runs = groupby(zip(sorted(map(ord, chars)), count(), strict=False), key=lambda pair: pair[0] - pair[1])
    ranges = [[code for code, _ in run] for _, run in runs]
    return "".join(rf"\x{{{codes[0]:x}}}-\x{{{codes[-1]:x}}}" for codes in ranges)
