"""Phones as E.164 and only where such a number can exist; web addresses as plain http or https."""

import re
from typing import NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import clean_text, fold_to_ascii, text_verdict

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
# What stands before an extension: in English, French, Spanish, Italian, Portuguese, Russian, Austrian and Swiss German,
# Polish and Turkish; in Chinese, Japanese, Korean and Thai.
_EXT = (
    r"(?:\b(?:ext(?:ension|n)?|poste|int(?:ern[oe]?)?|anexo|ramal|доб|dw|durchwahl|kl|klappe|wew|dahili)|"
    "分機|分机|转|轉|内線|내선|ต่อ)"
)
_SEVERAL = re.compile(
    rf"(?i)\s*(?:[;,|\n](?!\s*(?:{_EXT}|x\s*[0-9]))|\s(?:[/&]|and|or|und|oder|et|ou)\s|/(?=\s*[+(0]))\s*"
)
# A hyphen may separate two numbers, or the groups of one: +1 - (212) 555-1234, 030 123456 - 0.
_PERHAPS_SEVERAL = re.compile(r"\s+[-–]\s+(?=[+(0])")
# phonenumbers would turn letters into digits: none are allowed except before an extension.
_WORDS = re.compile(r"[A-Za-z]")
_EXTENSION = re.compile(rf"(?i)[;,]?\s*(?:{_EXT}\.?\s*[:=]?|(?<![a-z])x)\s*([0-9]{{1,10}})\s*$")
# What separates a number from the last digits of another line: 030/1234567/8, 030 12345-10/-11, 02-123-4567~8,
# 06/1234567-8.
_NEXT_LINE = re.compile(r"\s*[/~～〜∼]\s*-?(?=[0-9])|-(?=[0-9]$)")
_HYPHEN_BEFORE_EXTENSION = ("+49", "+43")  # where the digits after a hyphen belong to the same number
_BRACKETS_BEHIND = re.compile(r"[0-9][^()]*\([^()]*\)\s*$")  # opening hours, for example
_MIN_LENGTH = 11  # a shorter E.164 might be an area code alone
# An extension in its own column: digits, perhaps with a word before them, perhaps from a spreadsheet's float.
_DIGITS = re.compile(r"(?i)(?:(?:ext(?:ension|n)?\.?\s*[:=]?|x)\s*)?([0-9]{1,10})(?:\.0+)?")
# Words for a telephone before a number, and for the main number after it; not those for a fax.
_TEL = re.compile(
    r"(?i)^(?:tel(?:efono|efone?|ephone|efon)?|phone|ph|mobile?|mob)\b\s*[.:]*\s*(?=[+(0-9])|\s*\((?:代表?|vx)\)$"
)
_FROM_A_FLOAT = re.compile(r"([0-9]{6,15})\.0+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]", re.UNICODE)


def phone(country_code: str | None, text: str | None, extension: str | None = None) -> Verdict:
    """The rule for (phone, phone_ext); an extension in its own column has precedence over one in the text."""
    extension, extension_notes = _extension(extension)
    if text is None:
        return Verdict((None, extension), extension_notes)
    parsed = _parse(country_code, _TEL.sub("", fold_to_ascii(clean_text(text, multiline=True) or "")))
    notes = (note("phone", parsed.code, text, parsed.number),) if parsed.number != text else ()
    return Verdict((parsed.number, extension or parsed.extension), extension_notes + notes)


def _extension(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    if text is None:
        return None, ()
    match = _DIGITS.fullmatch(clean_text(text) or "")
    if match is None:
        return None, (note("phone_ext", "phone_ext_unreadable", text, None),)
    return match[1], () if match[1] == text else (note("phone_ext", "phone_ext_reformatted", text, match[1]),)


class _Parsed(NamedTuple):
    """E.164 and extension, None if there is none; `code` is the issue if the number is not written so."""

    number: str | None
    extension: str | None
    code: str


def _parse(country_code: str | None, text: str) -> _Parsed:
    float_match = _FROM_A_FLOAT.fullmatch(text)
    several = [part for part in _SEVERAL.split(float_match[1] if float_match else text) if part]
    if several == [text]:
        return _parse_groups(country_code, text)
    if _begins_with_area_code(country_code, several):
        joined = _parse_one(country_code, " ".join(several))
        if joined.number is not None:
            return joined
    for part in several:
        parsed = _parse_groups(country_code, part)
        if parsed.number is not None:
            return parsed._replace(code="phone_multiple") if len(several) > 1 else parsed
    return _parse_first(country_code, text)


def _parse_groups(country_code: str | None, text: str) -> _Parsed:
    """The first of the numbers between spaced hyphens, if each is one by itself; else the whole as one number."""
    first, *others = _PERHAPS_SEVERAL.split(text)
    if others and all(_parse_first(country_code, part).number for part in (first, *others)):
        return _parse_first(country_code, first)._replace(code="phone_multiple")
    return _parse_first(country_code, text)


def _parse_first(country_code: str | None, text: str) -> _Parsed:
    """The number before the digits of another line, if there are such: 030/1234567/8 as a whole could be one too."""
    whole = _parse_one(country_code, text)
    for separator in _NEXT_LINE.finditer(text):
        if separator[0] == "-" and not _is_next_line(whole.number, text, separator):
            break
        first = _parse_one(country_code, text[: separator.start()])
        if first.number is not None and (whole.number is None or len(first.number) >= _MIN_LENGTH):
            return first._replace(code="phone_multiple")
    return whole


def _is_next_line(number: str | None, text: str, hyphen: re.Match[str]) -> bool:
    # The digit after the hyphen ends another number if it is greater than the one before, as in 7-8.
    is_extension = (number or "").startswith(_HYPHEN_BEFORE_EXTENSION)
    return not is_extension and text[hyphen.start() - 1] < text[hyphen.end()]


def _begins_with_area_code(country_code: str | None, several: list[str]) -> bool:
    # 0351 / 49 61 235: the second part is not a number of its own, although it could be one.
    if len(several) != 2 or several[1][0] not in "123456789":  # noqa: PLR2004
        return False
    return _parse_one(country_code, several[0]).number is None


def _parse_one(country_code: str | None, text: str) -> _Parsed:
    marked = _EXTENSION.search(text)
    main = text[: marked.start()] if marked else text
    is_odd = _WORDS.search(main) or _BRACKETS_BEHIND.search(main) or text.startswith("-")
    if is_odd or not any(char.isdigit() for char in main):
        return _Parsed(None, None, "phone_unreadable")
    try:
        parsed = phonenumbers.parse(main, country_code)
    except NumberParseException:
        return _Parsed(None, None, "phone_unreadable")
    if not phonenumbers.is_valid_number(parsed):
        return _Parsed(None, None, "phone_invalid")
    number = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return _Parsed(number, marked[1] if marked else parsed.extension, "phone_reformatted")


def website(text: str | None) -> Verdict:
    """The rule for website_url: http or https; an address without a scheme gets https, any other is set aside."""
    if text is None:
        return Verdict((None,))
    verdict = text_verdict(text, "website_url")
    url = verdict.values[0] or ""
    if not _SCHEME.match(url) or re.match(r"[\w.-]+:[0-9]{1,5}(?:/|$)", url):
        url = f"https://{url.removeprefix('//')}"
        verdict = Verdict((url,), (note("website_url", "url_scheme_added", text, url),))
    return verdict if _is_plain(url) else Verdict((None,), (note("website_url", "url_refused", text, None),))


def _is_plain(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = re.sub(r":[0-9]{1,5}$", "", authority)
    # The host is a dotted name: no credentials, and no number, which a browser takes for an address (http://1).
    return scheme.lower() in ("http", "https") and not {" ", "\\"} & set(url) and bool(_HOST.fullmatch(host))
