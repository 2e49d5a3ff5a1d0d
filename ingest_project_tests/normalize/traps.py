"""Traps that real listings have set: what a row says, what becomes of it, and which codes say so."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Trap(NamedTuple):
    """`given`: what the row says; `found`: values of the item; `codes`: all its issues, as `field: code`."""

    given: dict[str, Any]
    found: dict[str, Any]
    codes: list[str]
    settings: Mapping[str, Any] = MappingProxyType({})


def _place(latitude: Any, longitude: Any, found: tuple[Any, Any], *codes: str, **more: Any) -> Trap:
    given = {"latitude": latitude, "longitude": longitude, **{k: v for k, v in more.items() if k == "country_code"}}
    settings = {k: v for k, v in more.items() if k != "country_code"}
    return Trap(given, dict(zip(("latitude", "longitude"), found, strict=True)), list(codes), settings)


def _both(code: str) -> tuple[str, str]:
    return f"latitude: {code}", f"longitude: {code}"


def _one(
    field: str, given: Any, found: Any, *codes: str, beside: dict[str, Any] | None = None, **settings: Any
) -> Trap:
    return Trap({**(beside or {}), field: given}, {field: found}, [f"{field}: {code}" for code in codes], settings)


def _time(given: Any, found: str | None, *codes: str, **settings: Any) -> Trap:
    told = [f"source_updated_at: {code}" for code in codes]
    return Trap({"t": given}, {"source_updated_at": found}, told, {"updated_at": "t", **settings})


NOWHERE = (None, None)
HALF = ("latitude: coordinate_unreadable", "longitude: coordinate_unpaired")
US, GB, DE, IT, JP, KR, TW = ({"country_code": code} for code in ("US", "GB", "DE", "IT", "JP", "KR", "TW"))
LONELY = "currency: currency_without_price"

TRAPS: dict[str, Trap] = {
    "geo: underscores in a number": _place("1_000.5", "13", NOWHERE, *HALF),
    "geo: a boolean": _place(True, 13.0, NOWHERE, *HALF),
    "geo: an exponent": _place("1e1", "13", NOWHERE, *HALF),
    "geo: digits of full width": _place("４５.5", "13", (45.5, 13.0), "latitude: coordinate_notation"),
    "geo: in Japanese": _place("北緯34.70", "東経135度29分24秒", (34.7, 135.49), *_both("coordinate_notation")),
    "geo: the south in Chinese": _place("南纬33.9", "西经70.6", (-33.9, -70.6), *_both("coordinate_notation")),
    "geo: in Russian": _place(
        "55°45′21″ с. ш.", "37,5° в.д.", (55.755833333333, 37.5), *_both("coordinate_notation"), locale="ru"
    ),
    "geo: in Arabic": _place("-٢٥٫٠٨", "۵۱٫۴", (-25.08, 51.4), *_both("coordinate_notation")),
    "geo: the other direction's word": _place("東経34.70", "13", NOWHERE, *HALF),
    "geo: a typesetter's minus": _place("\u221233.9", "151.2", (-33.9, 151.2), "latitude: coordinate_notation"),
    "geo: NaN": _place("NaN", "13", NOWHERE, *HALF),
    "geo: infinity": _place("inf", "13", NOWHERE, *HALF),
    "geo: beyond a float": _place("1e400", "13", NOWHERE, *HALF),
    "geo: swapped, evidently": _place("-122.4", "37.8", NOWHERE, *_both("coordinates_swapped")),
    "geo: swapped, and the country tells": _place(
        "13.4", "52.5", (52.5, 13.4), *_both("coordinates_exchanged"), country_code="DE"
    ),
    "geo: swapped, and no country": _place("13.4", "52.5", (13.4, 52.5)),
    "geo: swapped, in a country as far east as north": _place("38.7", "39.2", (38.7, 39.2), country_code="TR"),
    "geo: swapped there, where it tells": _place(
        "28.97", "41.01", (41.01, 28.97), *_both("coordinates_exchanged"), country_code="TR"
    ),
    "geo: in another country either way": _place(
        "-33.9", "151.2", (-33.9, 151.2), *_both("coordinates_elsewhere"), country_code="DE"
    ),
    "geo: an overseas territory": _place("-21.1", "55.5", (-21.1, 55.5), country_code="FR"),
    "geo: a country across the date line": _place("-17.8", "-179.9", (-17.8, -179.9), country_code="FJ"),
    "geo: -9999": _place("-9999", "-9999", NOWHERE, *_both("coordinate_sentinel")),
    "geo: null island": _place("0", "0.0", NOWHERE, *_both("null_island")),
    "geo: latitude 91": _place(
        "91", "100", NOWHERE, "latitude: coordinate_out_of_range", "longitude: coordinate_unpaired"
    ),
    "geo: the antimeridian": _place("10", "-180", (10.0, 180.0), "longitude: longitude_wrapped"),
    "geo: a comma, in English": _place("45,21", "13", NOWHERE, *HALF),
    "geo: a comma, in German": _place("45,21", "13", (45.21, 13.0), locale="de"),
    "geo: a comma and a side, in German": _place(
        "52,4871 N", "13,4250° E", (52.4871, 13.425), *_both("coordinate_notation"), locale="de"
    ),
    "geo: groups of a spreadsheet, in German": _place("51.050.400", "13,7", NOWHERE, *HALF, locale="de"),
    "geo: one column without a place": Trap(
        {"place": "null"},
        {"latitude": None, "longitude": None},
        list(_both("sentinel_removed")),
        {"mapping": {"latitude": "place", "longitude": "place"}},
    ),
    "geo: minutes without degrees": _place("75'", "13", NOWHERE, *HALF),
    "geo: degrees, minutes, seconds": _place(
        "48°51'24\"N", "2°21'03\"E", (48.856666666667, 2.350833333333), *_both("coordinate_notation")
    ),
    "time: digits run together": _time("20240102", None, "time_unreadable"),
    "time: seconds since 1970": _time("1704153600", None, "time_unreadable"),
    "time: seconds since 1970, declared": _time("20000000001", "2603-10-11T11:33:21+00:00", time_format="epoch_s"),
    "time: naive": _time("2024-07-01 12:00:00", "2024-07-01T10:00:00+00:00", time_zone="Europe/Berlin"),
    "time: a short offset": _time("2024-01-02T03:04:05+02", "2024-01-02T01:04:05+00:00"),
    "time: infinity": _time("infinity", None, "time_unreadable"),
    "time: second 60": _time("2024-01-02T03:04:60Z", None, "time_unreadable"),
    "time: hour 24": _time("2024-01-02T24:00:00Z", None, "time_unreadable"),
    "time: day or month": _time("01/02/2024", None, "time_ambiguous"),
    "time: day, then month, declared": _time("01/02/2024", "2024-02-01T00:00:00+00:00", time_format="%d/%m/%Y"),
    "time: nanoseconds": _time("2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05.123456+00:00", "time_truncated"),
    "time: blank": _time("", None, "time_missing"),
    **{
        f"country: {text}": _one("country_code", text, code, "country_recognised")
        for text, code in {
            "UK": "GB",
            "England": "GB",
            "Russia": "RU",
            "Turkey": "TR",
            "Ivory Coast": "CI",
            "Côte d’Ivoire": "CI",
            "U.S.A.": "US",
            "usa ": "US",
            "Kosovo": "XK",
            "EL": "GR",
            "Eire": "IE",
            "BRD": "DE",
            "日本国": "JP",
            "Bharat": "IN",
            "الإمارات": "AE",
        }.items()
    },
    "country: Namibia is no null": _one("country_code", "NA", "NA"),
    "country: N/A is one": _one("country_code", "N/A", None, "sentinel_removed"),
    "country: no country": _one("country_code", "Atlantis", None, "country_unknown"),
    "region: a bare code": _one("region_code", "CA", "US-CA", "region_recognised", beside=US),
    "region: a bare code and no country": _one("region_code", "CA", None, "region_unknown"),
    "region: of another country": _one("region_code", "CA-ON", None, "region_of_other_country", beside=US),
    "postal: lost zeros": _one("postal_code", "2139", "02139", "postal_code_repaired", beside=US),
    "postal: a hyphen at the end": _one("postal_code", "02139-", "02139", "postal_code_repaired", beside=US),
    "postal: nine digits": _one("postal_code", "021394301", "02139-4301", "postal_code_repaired", beside=US),
    "postal: nine digits that lost a zero": _one(
        "postal_code", "21394301", "02139-4301", "postal_code_repaired", beside=US
    ),
    "postal: ZIP+4 that lost a zero": _one("postal_code", "2139-4301", "02139-4301", "postal_code_repaired", beside=US),
    "postal: seven digits are not guessed at": _one(
        "postal_code", "2139430", "2139430", "postal_code_unusual", beside=US
    ),
    "postal: its country before it": _one("postal_code", "D-10115", "10115", "postal_code_reformatted", beside=DE),
    "postal: and a space": _one("postal_code", "D 88131", "88131", "postal_code_reformatted", beside=DE),
    "postal: another country before it": _one("postal_code", "A-6020", "A-6020", "postal_code_unusual", beside=DE),
    "postal: letters that belong to it": _one("postal_code", "SW1A1AA", "SW1A1AA", beside=GB),
    "postal: a zero for an O": _one("postal_code", "LS1 40P", "LS1 40P", "postal_code_unusual", beside=GB),
    "postal: of Japan": _one("postal_code", "〒１００－０００５", "100-0005", "postal_code_reformatted", beside=JP),
    "postal: of full width": _one("postal_code", "１０１１５", "10115", "postal_code_reformatted", beside=DE),
    "postal: of full width, that lost a zero": _one(
        "postal_code", "９００１", "09001", "postal_code_repaired", beside=US
    ),
    "postal: nine digits of full width": _one(
        "postal_code", "１２３４５６７８９", "12345-6789", "postal_code_repaired", beside=US
    ),
    "postal: guarded against a spreadsheet": _one("postal_code", '="01067"', "01067", "guard_removed", beside=DE),
    "postal: an apostrophe against a spreadsheet": _one(
        "postal_code", "'01067", "01067", "postal_code_reformatted", beside=DE
    ),
    "postal: the same, and a lost zero": _one("postal_code", "'7001", "07001", "postal_code_repaired", beside=US),
    "postal: in Arabic, that lost a zero": _one("postal_code", "٢١٣٩", "02139", "postal_code_repaired", beside=US),
    "postal: a float": _one("postal_code", "94103.0", "94103", "postal_code_repaired", beside=US),
    "postal: a float, typed": _one("postal_code", 2139.0, "02139", "postal_code_repaired", beside=US),
    "postal: a region": _one("postal_code", "CA", "CA", "postal_code_unusual", beside=US),
    "postal: zeros of others are left": _one(
        "postal_code", "1067", "1067", "postal_code_unusual", beside={"country_code": "DE"}
    ),
    "phone: (fax)": _one("phone", "617-253-1000 (fax)", None, "phone_unreadable", beside=US),
    "phone: a float": _one("phone", "6172531000.0", "+16172531000", "phone_reformatted", beside=US),
    "phone: a spreadsheet's exponent": _one("phone", "3.53599E+11", None, "phone_unreadable", beside=US),
    "phone: -9999": _one("phone", "-9999", None, "phone_unreadable", beside=US),
    "phone: two numbers": _one("phone", "617-253-1000 / 617-253-1001", "+16172531000", "phone_multiple", beside=US),
    "phone: a number of another country": _one("phone", "617-253-1000", None, "phone_invalid", beside=GB),
    "phone: zeros that none can have": _one(
        "phone", "6135550000.0", "+16135550000", "phone_reformatted", beside={"country_code": "CA"}
    ),
    "phone: a word before it": _one(
        "phone", "Tel.: +49 (0)30 / 123 45-67", "+49301234567", "phone_reformatted", beside=DE
    ),
    "phone: a word of faxes before it": _one("phone", "Fax: 030/1234567", None, "phone_unreadable", beside=DE),
    "phone: letters for digits": _one("phone", "1-800-FLOWERS", None, "phone_unreadable", beside=US),
    "phone: two numbers and a word between": _one(
        "phone", "08382 - 12345 oder 0171/1234567", "+49838212345", "phone_multiple", beside=DE
    ),
    "phone: two numbers, the second without its area code": _one(
        "phone", "0562-2233445/2233446", "+915622233445", "phone_multiple", beside={"country_code": "IN"}
    ),
    "phone: another way to end": _one("phone", "030/1234567/8", "+49301234567", "phone_multiple", beside=DE),
    "phone: two lines": _one("phone", "0228 1234567\n0228 1234568", "+492281234567", "phone_multiple", beside=DE),
    "phone: an area code in its line": _one("phone", "030\n1234567", "+49301234567", "phone_reformatted", beside=DE),
    "phone: nothing that a salesman gave": _one("phone", "[not provided]", None, "sentinel_removed"),
    "street: a formula that failed": _one("street", "#NAME?", None, "sentinel_removed"),
    "phone: another last digit": _one("phone", "06/1234567-8", "+39061234567", "phone_multiple", beside=IT),
    "phone: digits in groups": _one("phone", "06 6988 123-1", "+390669881231", "phone_reformatted", beside=IT),
    "phone: digits dialled through": _one("phone", "0351 4961234-0", "+4935149612340", "phone_reformatted", beside=DE),
    "phone: two digits of another one": _one("phone", "0351 4961234/35", "+493514961234", "phone_multiple", beside=DE),
    "phone: slashes within one number": _one("phone", "089/2180/1234", "+498921801234", "phone_reformatted", beside=DE),
    "phone: a tilde is no extension": _one("phone", "064-123-4567~8", "+82641234567", "phone_multiple", beside=KR),
    "phone: hours behind it": _one("phone", "030 123456 (9-17)", None, "phone_unreadable", beside=DE),
    "phone: in brackets as a whole": _one("phone", "(617-253-1000)", "+16172531000", "phone_reformatted", beside=US),
    **{
        f"phone: {text}": Trap(
            {"country_code": country, "phone": text},
            {"phone": found, "phone_ext": extension},
            ["phone: phone_reformatted"],
        )
        for text, country, found, extension in (
            ("514.555.1234 poste: 22", "CA", "+15145551234", "22"),
            ("(495) 1234567, доб.12", "RU", "+74951234567", "12"),
            ("(021)50123456转8001", "CN", "+862150123456", "8001"),
        )
    },
    "phone: two numbers and a slash of full width": _one(
        "phone", "098 866 0000／098-866-0001", "+81988660000", "phone_multiple", beside=JP
    ),
    "phone: an area code before a slash": _one(
        "phone", "0351 / 49 61 235", "+493514961235", "phone_reformatted", beside={"country_code": "DE"}
    ),
    "phone: and with its country": _one(
        "phone", "+49 351 / 4961235", "+493514961235", "phone_reformatted", beside={"country_code": "DE"}
    ),
    "phone: two numbers with area codes": _one(
        "phone", "030/123456 / 030/123457", "+4930123456", "phone_multiple", beside={"country_code": "DE"}
    ),
    "phone: digits of full width": _one(
        "phone", "０３－３２１１－４１１１", "+81332114111", "phone_reformatted", beside={"country_code": "JP"}
    ),
    "address: abbreviations stay": _one(
        "street", "123 E. 92nd St. Apt #3, W Hollywood", "123 E. 92nd St. Apt #3, W Hollywood"
    ),
    "address: all in one line stays one": _one(
        "street", "Quatre vingt douze R. de l'Église", "Quatre vingt douze R. de l'Église"
    ),
    "address: a house number of letters": _one("house_number", "12-14 bis", "12-14 bis"),
    "text: entities of HTML": _one("street", "Caf&eacute; &amp; Co", "Café & Co", "entities_decoded"),
    "text: entities twice": _one("street", "A &amp;amp; B &#8211; C&#x27;s", "A & B – C's", "entities_decoded"),
    "text: an entity of a space": _one("street", "Sternstr.&nbsp;3", "Sternstr. 3", "entities_decoded"),
    "text: an entity of nothing else": _one("street", "&nbsp;", None, "entities_decoded"),
    "text: no entities": _one("street", "R&D; AT&T &copy 1; &nosuch;", "R&D; AT&T &copy 1; &nosuch;"),
    "text: a guard against a spreadsheet": _one("house_number", '="007"', "007", "guard_removed"),
    "text: a guard behind an entity": _one("house_number", "=&quot;007&quot;", "007", "guard_removed"),
    "text: a guard behind nothing to see": _one("house_number", '\u200b="007"', "007", "guard_removed"),
    "text: a guarded blank": _one("house_number", '=""', None, "guard_removed"),
    "text: a formula is text": _one("street", '=HYPERLINK("x","y")', '=HYPERLINK("x","y")'),
    "text: NUL": _one("street", "a\0b", "ab", "characters_removed"),
    "text: zero width": _one("street", "a\u200bb", "ab", "characters_removed"),
    "text: a byte order mark": _one("street", "\ufeffab", "ab", "characters_removed"),
    "text: bidirectional marks": _one("street", "\u202aab\u202c", "ab", "characters_removed"),
    "text: C1 controls": _one("street", "a\x81b", "ab", "characters_removed"),
    "text: a soft hyphen": _one("street", "a\u00adb", "ab", "characters_removed"),
    "text: a no-break space": _one("street", "a\u00a0b", "a b", "whitespace_folded"),
    "text: apart": _one("street", "e\u0301", "é", "unicode_composed"),
    "text: mojibake": _one("street", "CafÃ© 1", "Café 1", "mojibake_repaired"),
    "text: homoglyphs stay": _one("street", "Мoscow", "Мoscow"),
    "text: all capitals stay": _one("street", "MAIN STREET", "MAIN STREET"),
    "text: nothing to see": _one("street", "\u200b", None, "characters_removed"),
    "text: nothing but a NUL": _one("street", "\0", None, "characters_removed"),
    "text: white space is a blank": _one("street", " \u00a0\u3000", None),
    "text: too long": _one("street", "x" * 301, None, "too_long"),
    "price: a point, in English": Trap({"price": "1.234", "currency": "EUR"}, {"price": "1.2340"}, []),
    "price: a point, in German": Trap(
        {"price": "1.234", "currency": "EUR"}, {"price": "1234.0000"}, [], {"locale": "de"}
    ),
    "price: a comma, in English": Trap(
        {"price": "1,5", "currency": "EUR"}, {"price": None, "currency": None}, ["price: price_unreadable", LONELY]
    ),
    "price: yen have no minor digits": Trap({"price": "1000", "currency": "JPY"}, {"price": "1000.0000"}, []),
    "price: dinars have three": Trap({"price": "1.234", "currency": "KWD"}, {"price": "1.2340"}, []),
    "price: a symbol": Trap(
        {"price": "1.234,00 €"},
        {"price": "1234.0000", "currency": "EUR"},
        ["price: price_notation", "currency: currency_recognised"],
    ),
    **{
        f"price: {text}, {locale}": Trap(
            {"price": text, "currency": currency},
            {"price": found, "currency": currency},
            ["price: price_notation"],
            {"locale": locale},
        )
        for text, currency, locale, found in (
            ("1,000円", "JPY", "ja", "1000.0000"),
            ("１，２００", "JPY", "ja", "1200.0000"),
            ("￥１，２００", "JPY", "ja", "1200.0000"),
            ("89,- €", "EUR", "de", "89.0000"),
            ("1.200,-", "EUR", "de", "1200.0000"),
            ("1.200,-", "EUR", "en", "1200.0000"),
            ("1,200.-", "EUR", "de", "1200.0000"),
            ("79,90 Euro", "EUR", "de", "79.9000"),
            ("CHF 1’250.--", "CHF", "de_CH", "1250.0000"),
            ("₹ 1,23,456/-", "INR", "en_IN", "123456.0000"),
            ("1.234,56 TL", "TRY", "tr", "1234.5600"),
            ("S/. 25.50", "PEN", "es_PE", "25.5000"),
            ("1 500,50 р.", "RUB", "ru", "1500.5000"),
            ("٣٬٥٠٠ ج.م", "EGP", "en", "3500.0000"),
            ("١٢٫٥٠٠", "KWD", "de", "12.5000"),
        )
    },
    "price: yen by its sign": Trap(
        {"price": "1,000円"},
        {"price": "1000.0000", "currency": "JPY"},
        ["currency: currency_recognised", "price: price_notation"],
        {"locale": "ja"},
    ),
    "price: dollars of Taiwan by a sign of China": Trap(
        {"price": "3,200元", **TW},
        {"price": "3200.0000", "currency": "TWD"},
        ["currency: currency_recognised", "price: price_notation"],
    ),
    "price: the same, and no country": Trap(
        {"price": "3,200元"}, {"price": None}, ["currency: currency_ambiguous", "price: price_without_currency"]
    ),
    "price: a group of one digit, in Arabic": Trap(
        {"price": "٥٬٠", "currency": "EGP"}, {"price": None}, ["price: price_unreadable", LONELY]
    ),
    "price: words beside it": Trap(
        {"price": "１２００円（税込）", "currency": "JPY"}, {"price": None}, ["price: price_unreadable", LONELY]
    ),
    **{
        f"price: a range, {text}": Trap(
            {"price": text, "currency": "EUR"}, {"price": None}, ["price: price_unreadable", LONELY]
        )
        for text in ("10-20", "10.-15", "10,–20", "12,-5", "12,- 5", "10/-5")
    },
    "price: lakh, in English": Trap(
        {"price": "1,23,456.00", "currency": "INR"}, {"price": None}, ["price: price_unreadable", LONELY]
    ),
    "price: lakh, in India": Trap(
        {"price": "1,23,456.00", "currency": "INR"}, {"price": "123456.0000"}, [], {"locale": "en_IN"}
    ),
    "price: a symbol of many": Trap(
        {"price": "$5"}, {"price": None}, ["currency: currency_ambiguous", "price: price_without_currency"]
    ),
    "url: no scheme": _one("website_url", "example.com", "https://example.com", "url_scheme_added"),
    "url: a script": _one("website_url", "javascript:alert(1)", None, "url_refused"),
    "url: credentials": _one("website_url", "https://u:p@example.com/", None, "url_refused"),
    "url: a number": _one("website_url", "http://1", None, "url_refused"),
    "url: entities": _one("website_url", "https://a.de/?x=1&amp;y=2", "https://a.de/?x=1&y=2", "entities_decoded"),
    "url: another alphabet": _one("website_url", "https://пример.рф/", "https://пример.рф/"),
    "number: an id beyond 2^53": _one("house_number", 9007199254740993, "9007199254740993"),
    "number: an id as text": _one("house_number", "007", "007"),
    "number: not a number": _one("house_number", float("nan"), None, "not_finite"),
    "number: not a number, and a default": _one(
        "house_number",
        float("nan"),
        "1",
        "not_finite",
        mapping={"house_number": {"column": "house_number", "default": "1"}},
    ),
}
