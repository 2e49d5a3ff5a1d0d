"""Whether bytes that are no UTF-8 are windows-1252: it has a letter for nearly every byte, whatever wrote them.

An encoding is told by what it makes words of: each word of an alphabet's letters only. Where another makes more
words of the bytes than windows-1252 does, or makes them as well of more of its own letters, a person has to say.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest_project.errors import SourceUnreadable

WESTERN = "windows-1252"
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_EUROPE = (
    *("äöüß", "àâæçéèêëîïôœùûüÿ", "áéíñóúü", "ãáàâçéêíõóôúü", "àèéìíîòóùú", "áéëèïíóöü"),  # de, fr, es, pt, it, nl
    *("åäöé", "æøåéôòóö", "áðéíóúýþæö", "àçéèíïóòúü", "äöõü", "ëç"),  # sv, da and nb, is, ca, et, sq
    *("áéíóúýšž", "âçîöûü"),  # what it has of Czech, Slovenian, Turkish
)
_CENTRAL = (
    *("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű"),  # pl, cs, sk, hu
    *("ăâîşţșț", "čćđšž", "ëç", "äöüß"),  # ro, hr and sl, sq, de
)
_CYRILLIC = ("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўђјљњћџѓќѕ",)
_LETTERS: dict[str, tuple[str, ...]] = {
    **{name: tuple(_LATIN + own for own in _EUROPE) for name in (WESTERN, "cp850", "mac_roman")},
    **{name: tuple(_LATIN + own for own in _CENTRAL) for name in ("windows-1250", "iso-8859-2", "cp852")},
    "windows-1254": (f"{_LATIN}çğıi̇öşü", f"{_LATIN}çğıi̇öşüâîû"),
    "windows-1257": tuple(_LATIN + own for own in ("āčēģīķļņšūž", "ąčęėįšųūž", "äöõüšž")),  # lv, lt, et
    **dict.fromkeys(("windows-1251", "koi8-r", "cp866", "iso-8859-5"), _CYRILLIC),
    "windows-1253": ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",),
    "windows-1255": ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",),
    "windows-1256": ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگکیـ",),
}
_EAST = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
# Between ASCII letters a sign of the east is what bytes of the west make; two in a row are a word.
_EASTERN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2,}")
_EASTERN_MARKS = re.compile(r"[\u2000-\u206f\u3000-\u303f\uff00-\uff60]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
# Signs that stand around words, and the small ones at their ends: 1ª, m².
_WORD = re.compile(r"[^\s\x00-@\[-`{-\x7f–—‘’‚“”„†‡•…‰‹›€™¡«»¿©®°·µ№]+")
_RAISED = "ªº¹²³"
_BYTES_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_CELL = re.compile(rb'[^,;\t|"\r\n]*[\x80-\xff][^,;\t|"\r\n]*')
_NEARLY_ALL, _HALF, _SEVERAL = 0.9, 0.5, 3
_MOST_LINES, _SHOWN, _MOST_READINGS = 1000, 20, 6


@dataclass(frozen=True)
class _Reading:
    """What an encoding makes of lines."""

    encoding: str
    text: str
    share: float = 0.0  # of the words: those of the one alphabet that has most of them
    any_share: float = 0.0  # those of any alphabet
    of_alphabet: float = 0.0  # of its own letters, those that are there


def refuse_other_alphabets(data: bytes, error: SourceUnreadable) -> None:
    """Raise SourceUnreadable where other encodings make words of these lines, and windows-1252 does not as well."""
    lines = b"\n".join([line for line in data.split(b"\n") if not line.isascii()][:_MOST_LINES])
    found = [one for name in (*_LETTERS, *_EAST) if (one := _reading(name, lines))]
    western = next((one for one in found if one.encoding == WESTERN), _Reading(WESTERN, ""))
    better = [one for one in found if one is not western and _is_better(one, western)]
    if not lines or (western.text and western.any_share >= _HALF and not better):
        return
    cell = max(_CELL.findall(lines), key=_beyond_ascii)[:_SHOWN]
    raise SourceUnreadable(
        f"{error.what}\n    nor is it {WESTERN}: that would make {cell.decode(WESTERN, 'replace')!r} of its words",
        where=error.where,
        todo=f"Say it: --set encoding=NAME, be it {WESTERN}. The same words are {_told(cell, found)}.",
    )


def _told(cell: bytes, found: Sequence[_Reading]) -> str:
    likely = sorted(found, key=lambda one: (-one.share, -one.any_share))
    read = [(cell.decode(one.encoding, "ignore"), one.encoding) for one in likely]  # it is cut, perhaps in a letter
    words = [f"{text!r} in {name}" for text, name in read if text.isprintable() and name != WESTERN]
    return ", ".join(words[:_MOST_READINGS])


def _beyond_ascii(cell: bytes) -> int:
    return len(_BYTES_BEYOND_ASCII.findall(cell))


def _reading(encoding: str, lines: bytes) -> _Reading | None:
    try:
        text = lines.decode(encoding)
    except UnicodeDecodeError:
        return None
    return _eastern(encoding, text) if encoding in _EAST else _of_alphabets(encoding, text)


def _eastern(encoding: str, text: str) -> _Reading:
    signs = _BEYOND_ASCII.findall(_EASTERN_MARKS.sub("", text))
    share = sum(map(len, _EASTERN.findall(text))) / max(1, sum(map(len, signs)))
    return _Reading(encoding, text, share, share)


def _of_alphabets(encoding: str, text: str) -> _Reading:
    words = {word.rstrip(_RAISED) for word in _WORD.findall(text) if not word.isascii()}
    words = {word for word in words if not word.isascii() and any(map(str.isalpha, word))}
    if not words:
        return _Reading(encoding, text, 1.0, 1.0)  # nothing but signs beside ASCII: Joe’s
    known = [{word for word in words if _is_word(word, letters)} for letters in _LETTERS[encoding]]
    seen = {char for char in "".join(words).lower() if not char.isascii()}
    best = max(
        (len(of_one) / len(words), len(seen & set(letters)) / len(set(letters) - set(_LATIN)))
        for of_one, letters in zip(known, _LETTERS[encoding], strict=True)
    )
    return _Reading(encoding, text, best[0], len(set().union(*known)) / len(words), best[1])


def _is_word(word: str, letters: str) -> bool:
    """Whether it is of these letters, and small ones but for the first, or capitals."""
    return set(word.lower()) <= set(letters) and word[1:] in (word[1:].lower(), word[1:].upper())


def _is_better(one: _Reading, western: _Reading) -> bool:
    changed = {given.lower() for given, read in zip(western.text, one.text, strict=False) if given != read}
    if not changed:
        return False
    if one.any_share >= _NEARLY_ALL > western.any_share:
        return True
    # Turkish is made of letters of Icelandic, and the reverse: of the longer alphabet less is there.
    is_as_good = one.share == western.share and len(changed) >= _SEVERAL and one.of_alphabet > western.of_alphabet
    return one.share >= _NEARLY_ALL and (one.share > western.share or is_as_good)
