"""Text in normal form: NFC, no control or invisible characters, single spaces; mojibake, entities of HTML mended."""

import html
import re
import unicodedata
from collections.abc import Callable
from html.entities import html5

import ftfy
import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES

from ingest_project.item import INVISIBLE, JOINERS, SUSPECT, is_kept
from ingest_project.normalize import evident
from ingest_project.normalize.columns import Ruled, Verdict, apply_column, note

# Text that shows nothing: white space, controls, zero-width and direction marks.
WHITE = r"^[\s\p{Z}]*$"
BLANK = rf"^[\s\p{{Z}}\p{{Cc}}{''.join(sorted(INVISIBLE | JOINERS))}]*$"
_LINE_BREAKS = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_GUARDED = re.compile(r'\s*="([^"]*)"\s*')  # by who writes for a spreadsheet, lest it takes 007 for 7
# Forms of full width, as Japanese and Chinese text has them; digits of Arabic, Persian, Hindi, Bengali and Thai;
# hyphens, the minus and the apostrophe of typesetters.
_DIGITS = {zero + digit: str(digit) for zero in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50) for digit in range(10)}
_NARROW = {
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    **_DIGITS,
    **str.maketrans("\u2010\u2011\u2212\u2019", "---'"),
}

# What ftfy takes for mojibake, up to seven characters, has two of its own in a row, or one of the last: they are found
# in a fiftieth of the time.
_OF_MOJIBAKE = "".join(MOJIBAKE_CATEGORIES.values()) + "".join(re.findall(r"[^\x00-\x7f]", BADNESS_RE.pattern))
_PAIR = f"(?:[{_OF_MOJIBAKE}]{{2,}}|[\x80-\x9fÂÃŒœ])"
_REACH = 6
_ODD = re.compile(rf"{_PAIR}(?:[\s\S]{{0,{2 * _REACH}}}?{_PAIR})*")  # those near each other are looked at as one

_Fold = Callable[[str], str]


def cleaned(text: str, *, multiline: bool = False, mend: bool = True) -> str | None:
    """The text in normal form, None where nothing is left. `mend`: repair mojibake and entities first."""
    fold = _lines if multiline else _line
    return _stable(text, lambda given: fold(_unguarded(_mended(given) if mend else given))) or None


def narrow(text: str) -> str:
    """What is no prose, as a number or a code, in the characters of ASCII."""
    return text.translate(_NARROW)


def _unguarded(text: str) -> str:
    guarded = _GUARDED.fullmatch(text)
    return guarded[1] if guarded else text


def _mended(text: str) -> str:
    text = _without_entities(text)
    return ftfy.fix_encoding(text) if _is_bad(text) else text


def _is_bad(text: str) -> bool:
    """As ftfy's `is_bad`, which looks at each character of a long text for long."""
    odd = ((max(found.start() - _REACH, 0), found.end() + _REACH) for found in _ODD.finditer(text))
    return any(BADNESS_RE.search(text, start, end) for start, end in odd)


def _without_entities(text: str) -> str:
    return _ENTITY.sub(_of_entity, text) if "&" in text else text


def _of_entity(match: re.Match[str]) -> str:
    # Not all at once: `html.unescape` also takes what has no semicolon, as in `?a=1&copy=2`.
    return html.unescape(match[0]) if match[0].startswith("&#") else html5.get(match[0][1:], match[0])


def _stable(text: str, fold: _Fold) -> str:
    # Removing an invisible character can bring a letter and its accent together, two joiners, or mojibake; what was
    # escaped twice is one entity the first time; and a guard may stand behind either.
    before, now = None, text
    while now != before:
        before, now = now, unicodedata.normalize("NFC", fold(now))
    return now


def _line(text: str) -> str:
    visible = _visible(text) if SUSPECT.search(text) else text
    return re.sub(" {2,}", " ", visible).strip()


def _visible(text: str) -> str:
    spaced = re.sub(r"\s", " ", text)
    return SUSPECT.sub(lambda found: found[0] if is_kept(spaced, found.start()) else "", spaced)


def _lines(text: str) -> str:
    return "\n".join(_line(line) for line in _LINE_BREAKS.sub("\n", text).split("\n")).strip()


def clean(text: str | None, field: str, *, multiline: bool = False, mend: bool = True) -> Verdict:
    """The verdict on one text; its note says what kind of dirt there was."""
    if text is None:
        return Verdict((None,))
    found = cleaned(text, multiline=multiline, mend=mend)
    if found == text:
        return Verdict((found,))
    return Verdict((found,), (note(field, _why(text, found or "", mend=mend), text, found),))


def _why(text: str, found: str, *, mend: bool) -> str:
    shape = _solid(found)
    if _solid(text) == shape:
        return "whitespace_folded"
    mended = _mended(text) if mend else text
    shown = _line(mended)
    if _unguarded(shown) != shown:
        return "guard_removed"
    if mended != text:
        return "mojibake_repaired" if _without_entities(text) == text else "entities_decoded"
    return "unicode_composed" if _solid(unicodedata.normalize("NFC", text)) == shape else "characters_removed"


def _solid(text: str) -> str:
    return "".join(text.split())


def text_column(array: pa.Array, field: str, longest: int, *, multiline: bool = False, mend: bool = True) -> Ruled:
    """A column of texts; what is evidently clean and short enough is not looked at twice."""
    short = pc.fill_null(pc.less_equal(pc.binary_length(array), longest), False)
    accepted = pc.and_(evident.accepted_texts(array, multiline=multiline), short)
    return apply_column(array, field, lambda text: clean(text, field, multiline=multiline, mend=mend), accepted)
