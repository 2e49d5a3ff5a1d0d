"""Phones as E.164 and only where such a number can exist; web addresses as plain http or https."""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import clean, cleaned, narrow

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
# How an extension is announced: in English, French, Spanish, Italian, Portuguese, Russian, Austrian and Swiss German,
# Polish and Turkish; in Chinese, Japanese, Korean and Thai.
_EXT = (
    r"(?:\b(?:ext(?:ension|n)?|poste|int(?:ern[oe]?)?|anexo|ramal|доб|dw|durchwahl|kl|klappe|wew|dahili)|"
    "分機|分机|转|轉|内線|내선|ต่อ)"
)
_SEVERAL = re.compile(
    rf"(?i)\s*(?:[;,|\n](?!\s*(?:{_EXT}|x\s*[0-9]))|\s(?:[/&]|and|or|und|oder|et|ou)\s|/(?=\s*[+(0])|"
    r"\s[-–](?=\s[+(0]))\s*"
)
# Letters that phonenumbers would turn into digits: only an extension may have some.
_WORDS = re.compile(r"[A-Za-z]")
_EXTENSION = re.compile(rf"(?i)[;,]?\s*(?:{_EXT}\.?\s*[:=]?|(?<![a-z])x)\s*([0-9]{{1,10}})\s*$")
# Behind these stands another way to end: 030/1234567/8, 030 12345-10/-11, 02-123-4567~8, 06/1234567-8. Hours in
# brackets are no part of a number.
_OR = re.compile(r"\s*[/~～〜∼]\s*-?(?=[0-9])|-(?=[0-9]$)")
_DIALLED_THROUGH = ("+49", "+43")  # where a hyphen stands before the last digits of the same number
_BRACKETS_BEHIND = re.compile(r"[0-9][^()]*\([^()]*\)\s*$")
_LONG = 11  # an E.164 that nobody takes for an area code
# What stands in a column of its own: digits, perhaps marked, perhaps from a spreadsheet's float.
_DIGITS = re.compile(r"(?i)(?:(?:ext(?:ension|n)?\.?\s*[:=]?|x)\s*)?([0-9]{1,10})(?:\.0+)?")
# What stands before a number to say that it is one, or behind it that it is the main one; not that it is for faxes.
_TEL = re.compile(
    r"(?i)^(?:tel(?:efono|efone?|ephone|efon)?|phone|ph|mobile?|mob)\b\s*[.:]*\s*(?=[+(0-9])|\s*\((?:代表?|vx)\)$"
)
_FROM_A_FLOAT = re.compile(r"([0-9]{6,15})\.0+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]", re.UNICODE)


def phone(country_code: str | None, text: str | None, extension: str | None = None) -> Verdict:
    """(phone, phone_ext) of a text; the extension of its own column goes before one in the text."""
    given, told = _extension(extension)
    if text is None:
        return Verdict((None, given), told)
    number, found, code = _number(country_code, _TEL.sub("", narrow(cleaned(text, multiline=True) or "")))
    notes = (note("phone", code, text, number),) if code and number != text else ()
    return Verdict((number, given or found), told + notes)


def _extension(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    if text is None:
        return None, ()
    found = _DIGITS.fullmatch(cleaned(text) or "")
    if found is None:
        return None, (note("phone_ext", "phone_ext_unreadable", text, None),)
    return found[1], () if found[1] == text else (note("phone_ext", "phone_ext_reformatted", text, found[1]),)


def _number(country_code: str | None, text: str) -> tuple[str | None, str | None, str | None]:
    # (E.164 or None, extension or None, what to say)
    whole = _FROM_A_FLOAT.fullmatch(text)
    several = [one for one in _SEVERAL.split(whole[1] if whole else text) if one]
    if _is_area_code(country_code, several):
        joined = _single(country_code, " ".join(several))
        if joined[0] is not None:
            return joined
    for one in several:
        number, extension, code = _first(country_code, one)
        if number is not None:
            return number, extension, "phone_multiple" if len(several) > 1 else code
    return _first(country_code, text)


def _first(country_code: str | None, text: str) -> tuple[str | None, str | None, str]:
    """What the text says up to a slash, where that is a number already; joined, 030/1234567/8 could be one too."""
    whole = _single(country_code, text)
    for cut in _OR.finditer(text):
        if cut[0] == "-" and not _is_next_line(whole[0], text, cut):
            break
        number, extension, _ = _single(country_code, text[: cut.start()])
        if number is not None and (whole[0] is None or len(number) >= _LONG):
            return number, extension, "phone_multiple"
    return whole


def _is_next_line(number: str | None, text: str, hyphen: re.Match[str]) -> bool:
    # The digit behind ends another number where it goes on from the one before, as in 7-8.
    is_dialled_through = (number or "").startswith(_DIALLED_THROUGH)
    return not is_dialled_through and text[hyphen.start() - 1] < text[hyphen.end()]


def _is_area_code(country_code: str | None, several: list[str]) -> bool:
    # 0351 / 49 61 235: what stands behind the slash is no number of its own, however well it could be one.
    if len(several) != 2 or several[1][0] not in "123456789":  # noqa: PLR2004
        return False
    return _single(country_code, several[0])[0] is None


def _single(country_code: str | None, text: str) -> tuple[str | None, str | None, str]:
    marked = _EXTENSION.search(text)
    main = text[: marked.start()] if marked else text
    is_odd = _WORDS.search(main) or _BRACKETS_BEHIND.search(main) or text.startswith("-")
    if is_odd or not any(char.isdigit() for char in main):
        return None, None, "phone_unreadable"
    try:
        parsed = phonenumbers.parse(main, country_code)
    except NumberParseException:
        return None, None, "phone_unreadable"
    if not phonenumbers.is_valid_number(parsed):
        return None, None, "phone_invalid"
    number = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    extension = marked[1] if marked else parsed.extension
    return number, extension, "phone_reformatted"


def website(text: str | None) -> Verdict:
    """An http or https address; one without a scheme gets https, anything else is set aside."""
    if text is None:
        return Verdict((None,))
    told = clean(text, "website_url")
    url = told.values[0] or ""
    if not _SCHEME.match(url) or re.match(r"[\w.-]+:[0-9]{1,5}(?:/|$)", url):
        url = f"https://{url.removeprefix('//')}"
        told = Verdict((url,), (note("website_url", "url_scheme_added", text, url),))
    return told if _plain(url) else Verdict((None,), (note("website_url", "url_refused", text, None),))


def _plain(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = re.sub(r":[0-9]{1,5}$", "", authority)
    # A dotted name: no credentials, no bare numbers that a browser takes for an address (http://1 is 0.0.0.1).
    return scheme.lower() in ("http", "https") and not {" ", "\\"} & set(url) and bool(_HOST.fullmatch(host))
