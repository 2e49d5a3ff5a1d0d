"""Phones as E.164 and only where such a number can exist; web addresses as plain http or https."""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import cleaned

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_SEVERAL = re.compile(r"\s*(?:[;,|]|\s/\s|/(?=\s*[+(0]))\s*")
# Letters that phonenumbers would turn into digits: only an extension may have some.
_WORDS = re.compile(r"[A-Za-z]")
_EXTENSION = re.compile(r"(?i)(?:;?\s*ext(?:ension|n)?\.?\s*[:=]?|\bx)\s*([0-9]{1,10})\s*$")
_DIGITS = re.compile(r"[0-9]{1,10}")
_FROM_A_FLOAT = re.compile(r"([0-9]{6,15})\.0+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]", re.UNICODE)


def phone(country_code: str | None, text: str | None, extension: str | None = None) -> Verdict:
    """(phone, phone_ext) of a text; the extension of its own column goes before one in the text."""
    given, told = _extension(extension)
    if text is None:
        return Verdict((None, given), told)
    number, found, code = _number(country_code, cleaned(text) or "")
    notes = (note("phone", code, text, number),) if code and number != text else ()
    return Verdict((number, given or found), told + notes)


def _extension(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    if text is None:
        return None, ()
    digits = _FROM_A_FLOAT.sub(r"\1", cleaned(text) or "")
    if _DIGITS.fullmatch(digits):
        return digits, () if digits == text else (note("phone_ext", "whitespace_folded", text, digits),)
    return None, (note("phone_ext", "phone_ext_unreadable", text, None),)


def _number(country_code: str | None, text: str) -> tuple[str | None, str | None, str | None]:
    # (E.164 or None, extension or None, what to say)
    whole = _FROM_A_FLOAT.fullmatch(text)
    several = [one for one in _SEVERAL.split(whole[1] if whole else text) if one]
    for one in several:
        number, extension, code = _single(country_code, one)
        if number is not None:
            return number, extension, "phone_multiple" if len(several) > 1 else code
    return _single(country_code, text)


def _single(country_code: str | None, text: str) -> tuple[str | None, str | None, str]:
    marked = _EXTENSION.search(text)
    main = text[: marked.start()] if marked else text
    if _WORDS.search(main) or text.startswith("-") or not any(char.isdigit() for char in main):
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
    url = cleaned(text) or ""
    if not _SCHEME.match(url) or re.match(r"[\w.-]+:[0-9]{1,5}(?:/|$)", url):
        return _checked(text, f"https://{url.removeprefix('//')}", "url_scheme_added")
    return _checked(text, url, "whitespace_folded")


def _checked(text: str, url: str, code: str) -> Verdict:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host = re.sub(r":[0-9]{1,5}$", "", authority)
    # A dotted name: no credentials, no bare numbers that a browser takes for an address (http://1 is 0.0.0.1).
    if scheme.lower() not in ("http", "https") or " " in url or "\\" in url or not _HOST.fullmatch(host):
        return Verdict((None,), (note("website_url", "url_refused", text, None),))
    return Verdict((url,), (note("website_url", code, text, url),) if url != text else ())
