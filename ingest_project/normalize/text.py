"""Text in normal form: NFC, no control or invisible characters, single spaces; mojibake and HTML entities repaired."""

import html
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from html.entities import html5

import ftfy
import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES

from ingest_project.item import INVISIBLE, JOINERS, SUSPECT, is_kept
from ingest_project.normalize import evident
from ingest_project.normalize.columns import RuledColumns, Verdict, apply_to_column, note

# Texts of white space only, and texts that show nothing: also of controls, zero-width characters and direction marks.
WHITE = r"^[\s\p{Z}]*$"
BLANK = rf"^[\s\p{{Z}}\p{{Cc}}{''.join(sorted(INVISIBLE | JOINERS))}]*$"
_LINE_BREAKS = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_GUARDED = re.compile(r'\s*="([^"]*)"\s*')  # as exports write text for a spreadsheet, lest it takes 007 for 7
# Full-width forms of Japanese and Chinese text; digits of Arabic, Persian, Hindi, Bengali and Thai; typographic
# hyphens, minus and apostrophe.
_DIGITS = {zero + digit: str(digit) for zero in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50) for digit in range(10)}
_ASCII_FORMS = {
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},
    **_DIGITS,
    **str.maketrans("\u2010\u2011\u2212\u2019", "---'"),
}

# What ftfy takes for mojibake is at most seven characters long, and has two of its characters in a row or one of
# `\x80-\x9fÂÃŒœ`. These seeds are found in a fiftieth of the time; ftfy need only look around them.
_MOJIBAKE_CHARACTERS = "".join(MOJIBAKE_CATEGORIES.values()) + "".join(re.findall(r"[^\x00-\x7f]", BADNESS_RE.pattern))
_SEED = f"(?:[{_MOJIBAKE_CHARACTERS}]{{2,}}|[\x80-\x9fÂÃŒœ])"
_REACH = 6
_SEEDS = re.compile(rf"{_SEED}(?:[\s\S]{{0,{2 * _REACH}}}?{_SEED})*")  # seeds near each other are one match

_Fold = Callable[[str], str]


def clean_text(text: str, *, multiline: bool = False, mend: bool = True) -> str | None:
    """The text in normal form, None if nothing is left. `mend`: repair mojibake and entities first."""
    fold = _fold_lines if multiline else _fold_line
    return _until_stable(text, lambda current: fold(_unguarded(_mended(current) if mend else current))) or None


def fold_to_ascii(text: str) -> str:
    """A number or a code (not prose) with full-width and other forms of characters replaced by those of ASCII."""
    return text.translate(_ASCII_FORMS)


def text_verdict(text: str | None, field: str, *, multiline: bool = False, mend: bool = True) -> Verdict:
    """The rule for one text: its normal form, with a note on what kind of change that is."""
    if text is None:
        return Verdict((None,))
    normal = clean_text(text, multiline=multiline, mend=mend)
    if normal == text:
        return Verdict((normal,))
    return Verdict((normal,), (note(field, _change_code(text, normal or "", mend=mend), text, normal),))


def text_column(
    array: pa.Array, field: str, max_length: int, *, multiline: bool = False, mend: bool = True
) -> RuledColumns:
    """A column of texts in normal form; those that evidently are, and are short enough, are accepted as they are."""
    is_short = pc.fill_null(pc.less_equal(pc.binary_length(array), max_length), False)
    accepted = pc.and_(evident.accepted_texts(array, multiline=multiline), is_short)
    rule = partial(text_verdict, field=field, multiline=multiline, mend=mend)
    return apply_to_column(array, field, rule, accepted)


def _unguarded(text: str) -> str:
    match = _GUARDED.fullmatch(text)
    return match[1] if match else text


def _mended(text: str) -> str:
    text = _without_entities(text)
    return ftfy.fix_encoding(text) if _is_bad(text) else text


def _is_bad(text: str) -> bool:
    """The same as ftfy's `is_bad`, but fast on long texts."""
    spans = ((max(seeds.start() - _REACH, 0), seeds.end() + _REACH) for seeds in _SEEDS.finditer(text))
    return any(BADNESS_RE.search(text, start, end) for start, end in spans)


def _without_entities(text: str) -> str:
    return _ENTITY.sub(_decode_entity, text) if "&" in text else text


def _decode_entity(match: re.Match[str]) -> str:
    # `html.unescape` on the whole text would also decode names without a semicolon, as in `?a=1&copy=2`.
    return html.unescape(match[0]) if match[0].startswith("&#") else html5.get(match[0][1:], match[0])


def _until_stable(text: str, fold: _Fold) -> str:
    # One pass may not do: removing an invisible character can join a letter and its accent, two joiners, or mojibake;
    # entities may be escaped twice; and a guard may appear only then.
    before, now = None, text
    while now != before:
        before, now = now, unicodedata.normalize("NFC", fold(now))
    return now


def _fold_line(text: str) -> str:
    visible = _visible(text) if SUSPECT.search(text) else text
    return re.sub(" {2,}", " ", visible).strip()


def _visible(text: str) -> str:
    spaced = re.sub(r"\s", " ", text)
    return SUSPECT.sub(lambda match: match[0] if is_kept(spaced, match.start()) else "", spaced)


def _fold_lines(text: str) -> str:
    return "\n".join(_fold_line(line) for line in _LINE_BREAKS.sub("\n", text).split("\n")).strip()


def _change_code(text: str, normal: str, *, mend: bool) -> str:
    """The code of the issue for a text that became this normal form."""
    if _without_spaces(text) == _without_spaces(normal):
        return "whitespace_folded"
    mended = _mended(text) if mend else text
    folded = _fold_line(mended)
    if _unguarded(folded) != folded:
        return "guard_removed"
    if mended != text:
        return "mojibake_repaired" if _without_entities(text) == text else "entities_decoded"
    composed = unicodedata.normalize("NFC", text)
    return "unicode_composed" if _without_spaces(composed) == _without_spaces(normal) else "characters_removed"


def _without_spaces(text: str) -> str:
    return "".join(text.split())
