"""Decides whether bytes that are no UTF-8 may be read as windows-1252, which nearly any bytes can be.

Each encoding is judged by the words that it makes of the bytes: sequences of letters of one alphabet. Where another
makes more words than windows-1252, or as many with more of the letters that are its own, a person has to choose.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest_project.errors import SourceUnreadable

WESTERN = "windows-1252"
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_WESTERN_ACCENTS = (
    *("äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúü", "ãáàâçéêíõóôúü", "àèéìíîòóùú", "áéëèïíóöü"),  # de, fr, es, pt, it, nl
    *("åäöé", "æøåéôòóö", "áðéíóúýþæö", "àçéèíïóòúü", "äöõü", "ëç"),  # sv, da and nb, is, ca, et, sq
    *("áéíóúýšž", "âçîöûü"),  # what it has of Czech, Slovenian, Turkish
)
_CENTRAL_ACCENTS = (
    *("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű"),  # pl, cs, sk, hu
    *("ăâîşţșț", "čćđšž", "ëç", "äöüß"),  # ro, hr and sl, sq, de
)
_CYRILLIC = ("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўђјљњћџѓќѕ",)
_ALPHABETS: dict[str, tuple[str, ...]] = {
    **{name: tuple(_LATIN + own for own in _WESTERN_ACCENTS) for name in (WESTERN, "cp850", "mac_roman")},
    **{name: tuple(_LATIN + own for own in _CENTRAL_ACCENTS) for name in ("windows-1250", "iso-8859-2", "cp852")},
    "windows-1254": (f"{_LATIN}çğıi̇öşü", f"{_LATIN}çğıi̇öşüâîû"),
    "windows-1257": tuple(_LATIN + own for own in ("āčēģīķļņšūž", "ąčęėįšųūž", "äöõüšž")),  # lv, lt, et
    **dict.fromkeys(("windows-1251", "koi8-r", "cp866", "iso-8859-5"), _CYRILLIC),
    "windows-1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
    "windows-1255": ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",),
    "windows-1256": ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگکیـ",),
}
_EASTERN_ENCODINGS = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
# One such character between ASCII letters is what western bytes come out as; two in a row are a word.
_EASTERN_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2,}")
_EASTERN_PUNCTUATION = re.compile(r"[\u2000-\u206f\u3000-\u303f\uff00-\uff60]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# Words end at the signs that stand around them; small signs may stand at their ends: 1ª, m².
_WORD = re.compile(r"[^\s\x00-@\[-`{-\x7f–—‘’‚“”„†‡•…‰‹›€™¡«»¿©®°·µ№]+")
_RAISED = "ªº¹²³"
_NOT_ASCII_BYTE = re.compile(rb"[\x80-\xff]")
_CELL = re.compile(rb'[^,;\t|"\r\n]*[\x80-\xff][^,;\t|"\r\n]*')
_NEARLY_ALL, _HALF, _SEVERAL = 0.9, 0.5, 3
_MAX_LINES, _MAX_CELL_BYTES, _MAX_READINGS = 1000, 20, 6


@dataclass(frozen=True)
class _Reading:
    """What an encoding makes of lines."""

    encoding: str
    text: str
    share: float = 0.0  # of the words: those of the one alphabet that has most of them
    any_share: float = 0.0  # of the words: those of any of its alphabets
    alphabet_share: float = 0.0  # of the accented letters of that one alphabet: those that are there


def refuse_other_alphabets(data: bytes, error: SourceUnreadable) -> None:
    """Raise SourceUnreadable where windows-1252 makes no words of these lines, or another encoding better ones."""
    lines = b"\n".join([line for line in data.split(b"\n") if not line.isascii()][:_MAX_LINES])
    readings = [reading for name in (*_ALPHABETS, *_EASTERN_ENCODINGS) if (reading := _read(name, lines))]
    western = next((reading for reading in readings if reading.encoding == WESTERN), _Reading(WESTERN, ""))
    better = [reading for reading in readings if reading is not western and _is_better(reading, western)]
    if not lines or (western.text and western.any_share >= _HALF and not better):
        return
    cell = max(_CELL.findall(lines), key=_count_not_ascii)[:_MAX_CELL_BYTES]
    raise SourceUnreadable(
        f"{error.what}\n    nor is it {WESTERN}: that would make {cell.decode(WESTERN, 'replace')!r} of its words",
        where=error.where,
        todo=f"Say it: --set encoding=NAME, be it {WESTERN}. The same words are {_describe(cell, readings)}.",
    )


def _describe(cell: bytes, readings: Sequence[_Reading]) -> str:
    likeliest_first = sorted(readings, key=lambda reading: (-reading.share, -reading.any_share))
    # Errors are ignored, as the cell may be cut within a character.
    decoded = [(cell.decode(reading.encoding, "ignore"), reading.encoding) for reading in likeliest_first]
    options = [f"{text!r} in {name}" for text, name in decoded if text.isprintable() and name != WESTERN]
    return ", ".join(options[:_MAX_READINGS])


def _count_not_ascii(cell: bytes) -> int:
    return len(_NOT_ASCII_BYTE.findall(cell))


def _read(encoding: str, lines: bytes) -> _Reading | None:
    try:
        text = lines.decode(encoding)
    except UnicodeDecodeError:
        return None
    return _read_eastern(encoding, text) if encoding in _EASTERN_ENCODINGS else _read_alphabets(encoding, text)


def _read_eastern(encoding: str, text: str) -> _Reading:
    characters = _NOT_ASCII.findall(_EASTERN_PUNCTUATION.sub("", text))
    share = sum(map(len, _EASTERN_WORD.findall(text))) / max(1, sum(map(len, characters)))
    return _Reading(encoding, text, share, share)


def _read_alphabets(encoding: str, text: str) -> _Reading:
    words = {word.rstrip(_RAISED) for word in _WORD.findall(text) if not word.isascii()}
    words = {word for word in words if not word.isascii() and any(map(str.isalpha, word))}
    if not words:
        return _Reading(encoding, text, 1.0, 1.0)  # nothing but signs beside ASCII: Joe’s
    accented = {char for char in "".join(words).lower() if not char.isascii()}
    all_spelled = set[str]()
    best = (0.0, 0.0)
    for alphabet in _ALPHABETS[encoding]:
        spelled = {word for word in words if _is_spelled_in(alphabet, word)}
        all_spelled |= spelled
        own_letters = set(alphabet) - set(_LATIN)
        best = max(best, (len(spelled) / len(words), len(accented & set(alphabet)) / len(own_letters)))
    return _Reading(encoding, text, best[0], len(all_spelled) / len(words), best[1])


def _is_spelled_in(alphabet: str, word: str) -> bool:
    """Whether it has only these letters, and small ones but for the first, or capitals."""
    return set(word.lower()) <= set(alphabet) and word[1:] in (word[1:].lower(), word[1:].upper())


def _is_better(reading: _Reading, western: _Reading) -> bool:
    differing = {char.lower() for char, other in zip(western.text, reading.text, strict=False) if char != other}
    if not differing:
        return False
    if reading.any_share >= _NEARLY_ALL > western.any_share:
        return True
    # Turkish is made of letters of Icelandic, and the reverse: of the wrong one's alphabet fewer letters are there.
    has_more_letters = len(differing) >= _SEVERAL and reading.alphabet_share > western.alphabet_share
    is_as_good = reading.share == western.share and has_more_letters
    return reading.share >= _NEARLY_ALL and (reading.share > western.share or is_as_good)
