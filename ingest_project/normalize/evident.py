"""Which texts are evidently in normal form, whatever they say: by patterns of RE2, without asking the rule.

They may only accept. The first one knows ASCII and the letters beside it, and leaves little of most columns. What it
leaves is asked what Unicode and ftfy themselves tell: whether all its characters stand as they are, and whether it has
anything that mojibake has.
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
from ingest_project.normalize.columns import accepted_pattern

# Words with single spaces between them are in normal form whatever they say, if they are printable ASCII and single
# Latin letters among it: mojibake has two others in a row, or one of the four left out here (Â, Ã, Œ, œ). Entities of
# HTML have a semicolon, guarded texts an equals sign: both are left to the second look.
_PLAIN = "!-:<>-~"
_LETTER = "[ÀÁÄ-ÖØ-öø-\u0151\u0154-\u024f]"
_WORD = rf"(?:[{_PLAIN}]+(?:{_LETTER}[{_PLAIN}]+)*{_LETTER}?|{_LETTER}(?:[{_PLAIN}]+{_LETTER})*[{_PLAIN}]*)"
EVIDENT = rf"^{_WORD}(?: {_WORD})*$"
# What ftfy looks for, and no less, without the white space and the comments that Python would skip. RE2's own \w knows
# ASCII only: here it is anything beyond ASCII too. Its \s does as well, but a text that stands has no other space.
BAD = re.sub(r"(?a)(\[[^]]*\])|\s+|#.*", r"\1", BADNESS_RE.pattern).replace(r"\w", r"[\w[:^ascii:]]")
# Besides it, entities and what is guarded for a spreadsheet are mended.
_TO_MEND = rf'{BAD}|&#?[0-9A-Za-z]+;|^="'
_ASTRAL = 0x20000  # rare ideographs are from there on: they are left to the rule
_NEVER = r"\x00- \x7f-\xa0\x{20000}-\x{10ffff}"
_JAMO = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]  # vowels and ends that join the syllable before them


def accepted_texts(array: pa.Array, *, multiline: bool = False) -> pa.Array:
    """Which texts the rule would leave as they are; nulls are not."""
    patterns = [_in_lines(one) if multiline else one for one in (EVIDENT, standing())]
    plain = accepted_pattern(array, patterns[0])
    others = pc.and_(pc.is_valid(array), pc.invert(plain))
    if not pc.any(others).as_py():
        return plain
    left = array.filter(others)
    good = pc.and_(accepted_pattern(left, patterns[1]), pc.invert(accepted_pattern(left, _TO_MEND)))
    return pc.replace_with_mask(plain, others, good)


def _in_lines(pattern: str) -> str:
    """The same words, also in several lines."""
    return pattern.replace("(?: ", r"(?:(?: |\n+)")


@cache
def standing() -> str:
    """Words with single spaces between them, of characters that NFC leaves alone in any company.

    They take part in no composition, and the marks behind one stand in the order of their classes.
    """
    chars = [chr(at) for at in (*range(0xA1, 0xD800), *range(0xE000, _ASTRAL))]
    canonical = [char for char in chars if (told := unicodedata.decomposition(char)) and told[0] != "<"]
    moving = {chr(int(part, 16)) for char in canonical for part in unicodedata.decomposition(char).split()[1:]}
    moving |= {char for char in canonical if not unicodedata.is_normalized("NFC", char)}
    moving |= {*SUSPECT.findall("".join(chars)), *map(chr, _JAMO)}
    marks = [char for char in chars if unicodedata.combining(char)]
    by_class = groupby(sorted({*marks} - moving, key=unicodedata.combining), unicodedata.combining)
    behind = "".join(f"[{_class(several)}]*" for _, several in by_class)
    word = f"(?:[^{_NEVER}{_class(moving.union(marks))}]{behind})+"
    return f"^{word}(?: {word})*$"


def _class(chars: Iterable[str]) -> str:
    """The inside of a class, by its ranges."""
    runs = groupby(zip(sorted(map(ord, chars)), count(), strict=False), key=lambda pair: pair[0] - pair[1])
    ranges = [[at for at, _ in run] for _, run in runs]
    return "".join(rf"\x{{{run[0]:x}}}-\x{{{run[-1]:x}}}" for run in ranges)
