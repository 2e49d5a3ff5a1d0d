"""Phones as E.164, only where such a number can exist; web addresses as plain http or https."""

import pytest

from ingest_project_tests.normalize.pages import outcome, row

CHANGED, SEVERAL = ["phone: phone_reformatted"], ["phone: phone_multiple"]
UNREADABLE, INVALID = ["phone: phone_unreadable"], ["phone: phone_invalid"]
CANADA = "+16135550123"


@pytest.mark.parametrize(
    ("country", "given", "number", "codes"),
    [
        ("CA", CANADA, CANADA, []),
        (None, CANADA, CANADA, []),
        ("CA", "613-555-0123", CANADA, CHANGED),
        ("CA", "(613) 555-0123", CANADA, CHANGED),
        ("CA", "613.555.0123", CANADA, CHANGED),
        ("CA", "+1 613 555 0123", CANADA, CHANGED),
        ("CA", "tel:+1-613-555-0123", CANADA, CHANGED),
        ("CA", "\u202a+16135550123\u202c", CANADA, CHANGED),
        ("CA", "6135550123.0", CANADA, CHANGED),
        ("CA", "６１３５５５０１２３", CANADA, CHANGED),
        ("CA", "++16135550123", CANADA, CHANGED),
        ("CA", "+16135550123,", CANADA, CHANGED),
        ("CA", "+44 20 7946 0958", "+442079460958", CHANGED),
        ("GB", "020 7946 0958", "+442079460958", CHANGED),
        ("DE", "030/123456", "+4930123456", CHANGED),
        ("DE", "+49 (0)30 123456", "+4930123456", CHANGED),
        ("FR", "01 23 45 67 89", "+33123456789", CHANGED),
        ("IT", "06 698 82626", "+390669882626", CHANGED),
        ("IE", "353599123456", "+353599123456", CHANGED),
        ("XK", "+383 44 123 456", "+38344123456", CHANGED),
        ("CA", "613-555-0123 / 613-555-0124", CANADA, SEVERAL),
        ("CA", "613-555-0123; 613-555-0124", CANADA, SEVERAL),
        ("CA", "613-555-0123, 613-555-0124", CANADA, SEVERAL),
        ("CA", "613-555-0123|613-555-0124", CANADA, SEVERAL),
        ("CA", "call us, 613-555-0123", CANADA, SEVERAL),
        ("GB", "+442079460958/+442079460959", "+442079460958", SEVERAL),
        ("CA", "(613) 555-0123 (fax)", None, UNREADABLE),
        ("CA", "fax 613 555 0123", None, UNREADABLE),
        ("CA", "1-800-FLOWERS", None, UNREADABLE),
        ("IE", "3.53599E+11", None, UNREADABLE),
        ("CA", "6.13555E+09", None, UNREADABLE),
        ("CA", "-9999", None, UNREADABLE),
        ("CA", "0", None, UNREADABLE),
        ("CA", "6135550123 6135550124", None, UNREADABLE),
        (None, "613-555-0123", None, UNREADABLE),
        ("CA", "12", None, INVALID),
        ("CA", "555-0123", None, INVALID),
        ("US", "911", None, INVALID),
        ("CA", "00442079460958", None, INVALID),
        ("GB", "613-555-0123", None, INVALID),
        ("CA", "", None, []),
    ],
)
def test_a_phone_is_e164_or_set_aside(country: str | None, given: str, number: str | None, codes: list[str]) -> None:
    found = row({"country_code": country, "phone": given})
    assert (found["phone"], found["phone_ext"], found.codes) == (number, None, codes)


def test_a_national_number_is_read_in_its_row_s_country_whatever_it_was_meant_for() -> None:
    """It parses elsewhere, too: that is why the issue shows what was written."""
    assert row({"country_code": "AU", "phone": "613 5550 0000"})["phone"] == "+61355500000"
    assert row({"country_code": "US", "phone": "613 555 0000"})["phone"] == "+16135550000"


@pytest.mark.parametrize(
    ("given", "number", "extension"),
    [
        ("613-555-0123 ext 45", CANADA, "45"),
        ("613-555-0123 Ext. 45", CANADA, "45"),
        ("613-555-0123 extension 45", CANADA, "45"),
        ("613-555-0123 x45", CANADA, "45"),
        ("613-555-0123x45", CANADA, "45"),
        ("613-555-0123;ext=45", CANADA, "45"),
        ("613-555-0123, ext 45", CANADA, "45"),
        ("613-555-0123, x45", CANADA, "45"),
        ("613-555-0123#45", CANADA, "45"),
        ("+16135550123 x0045", CANADA, "0045"),
        ("613-555-0123 ext. 1234567890", CANADA, "1234567890"),
        ("613-555-0123 ext. 12345678901", None, None),
        ("613-555-0123 box 45", None, None),
        ("ext 45", None, None),
    ],
)
def test_an_extension_is_kept_apart(given: str, number: str | None, extension: str | None) -> None:
    found = row({"country_code": "CA", "phone": given})
    code = CHANGED if number else UNREADABLE
    assert (found["phone"], found["phone_ext"], found.codes) == (number, extension, code)


@pytest.mark.parametrize(
    ("country", "given", "number", "extension"),
    [
        ("JP", "03-3815-5411 内線2345", "+81338155411", "2345"),
        ("JP", "03-3815-5411（代表）", "+81338155411", None),
        ("TH", "053-253900 ต่อ 12", "+6653253900", "12"),
        ("TR", "0 (212) 244 67 89 dahili 5", "+902122446789", "5"),
        ("AT", "0662 / 84 12 34 DW 15", "+43662841234", "15"),
        ("AT", "01 533 44 55 Kl. 12", "+4315334455", "12"),
        ("IT", "0471 97 54 21 interno 3", "+390471975421", "3"),
        ("DE", "0351 - 4961235", "+493514961235", None),
    ],
)
def test_what_stands_behind_a_number_is_in_its_language(
    country: str, given: str, number: str, extension: str | None
) -> None:
    found = row({"country_code": country, "phone": given})
    assert (found["phone"], found["phone_ext"], found.codes) == (number, extension, CHANGED)


@pytest.mark.parametrize(
    ("country", "given", "number"),
    [
        ("IT", "081.41.69.28 - 081.40.49.10", "+39081416928"),
        ("DE", "030 123456-10/-11", "+493012345610"),
        ("GB", "020 7946 0958 & 020 7946 0959", "+442079460958"),
        ("GB", "020 7946 0958 - 020 7946 0959", "+442079460958"),
        ("FR", "0142050607 - 0142050608", "+33142050607"),
    ],
)
def test_of_several_numbers_the_first_is_kept(country: str, given: str, number: str) -> None:
    found = row({"country_code": country, "phone": given})
    assert (found["phone"], found["phone_ext"], found.codes) == (number, None, SEVERAL)


@pytest.mark.parametrize(
    ("country", "given", "number"),
    [
        ("US", "+1 - (212) 555-1234", "+12125551234"),
        ("DE", "+1 - (212) 555-1234", "+12125551234"),
        ("DE", "+39 - 06 12345678", "+390612345678"),
        ("DE", "+31 - (0)20 - 1234567", "+31201234567"),
        ("GB", "+49 - (0)711 - 1234567", "+497111234567"),
        ("IT", "+44 - (0)20 7946 0958", "+442079460958"),
        ("IT", "06 - 0123456", "+39060123456"),
        ("IT", "0461 - 0123456", "+3904610123456"),
        ("AT", "01 / 512 34 56 - 0", "+43151234560"),
        ("DE", "030 123456 - 0", "+49301234560"),
        ("DE", "089 12345 - 0123", "+4989123450123"),
        ("RU", "8 - (495) 123-45-67", "+74951234567"),
    ],
)
def test_a_spaced_hyphen_separates_the_groups_of_one_number(country: str, given: str, number: str) -> None:
    found = row({"country_code": country, "phone": given})
    assert (found["phone"], found["phone_ext"], found.codes) == (number, None, CHANGED)


@pytest.mark.parametrize(
    ("given", "extension", "codes"),
    [
        ("45", "45", []),
        ("0045", "0045", []),
        ("1234567890", "1234567890", []),
        (" 45 ", "45", ["phone_ext: phone_ext_reformatted"]),
        ("45.0", "45", ["phone_ext: phone_ext_reformatted"]),
        ("x45", "45", ["phone_ext: phone_ext_reformatted"]),
        ("ext. 45", "45", ["phone_ext: phone_ext_reformatted"]),
        ("45a", None, ["phone_ext: phone_ext_unreadable"]),
        ("12345678901", None, ["phone_ext: phone_ext_unreadable"]),
        ("٤٥", None, ["phone_ext: phone_ext_unreadable"]),
        ("", None, []),
    ],
)
def test_an_extension_of_its_own_column_is_digits(given: str, extension: str | None, codes: list[str]) -> None:
    found = row({"phone": CANADA, "phone_ext": given})
    assert (found["phone"], found["phone_ext"], found.codes) == (CANADA, extension, codes)


def test_an_extension_of_its_own_column_goes_before_one_in_the_number() -> None:
    found = row({"country_code": "CA", "phone": "613-555-0123 x9", "phone_ext": "45"})
    assert (found["phone"], found["phone_ext"]) == (CANADA, "45")


def test_an_unreadable_extension_leaves_the_one_in_the_number() -> None:
    found = row({"country_code": "CA", "phone": "613-555-0123 x9", "phone_ext": "?"})
    assert (found["phone"], found["phone_ext"]) == (CANADA, "9")
    assert found.codes == ["phone_ext: phone_ext_unreadable", *CHANGED]


@pytest.mark.parametrize("given", [6135550123, 6135550123.0])
def test_a_phone_that_came_as_a_number_is_read(given: float) -> None:
    found = row({"country_code": "CA", "phone": given})
    assert (found["phone"], found.codes) == (CANADA, CHANGED)


def test_a_phone_issue_shows_what_was_written() -> None:
    assert row({"country_code": "CA", "phone": "613-555-0123"}).issues == [
        {"field": "phone", "code": "phone_reformatted", "from": "613-555-0123", "to": CANADA}
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com/a?b=c#d",
        "HTTP://Example.com",
        "http://EXAMPLE.com:443",
        "http://münchen.de",
        "http://xn--mnchen-3ya.de",
        "http://例え.jp",
        "http://a_b.example.com",
        "http://example.com?x",
        "http://example.com/%zz/ü",
        "http://example.com/user@host",
        "http://example.com/" + "x" * 1981,
    ],
)
def test_a_plain_web_address_is_kept_as_it_is(url: str) -> None:
    assert outcome("website_url", url) == (url, [])


@pytest.mark.parametrize(
    ("given", "expected", "code"),
    [
        ("example.com", "https://example.com", "url_scheme_added"),
        ("www.example.com/x", "https://www.example.com/x", "url_scheme_added"),
        ("//example.com", "https://example.com", "url_scheme_added"),
        ("example.com:8080", "https://example.com:8080", "url_scheme_added"),
        ("example.com:8080/x", "https://example.com:8080/x", "url_scheme_added"),
        (" example.com ", "https://example.com", "url_scheme_added"),
        ("example.com/http://x", "https://example.com/http://x", "url_scheme_added"),
        (" http://example.com ", "http://example.com", "whitespace_folded"),
        ("http://example.com\u200b", "http://example.com", "characters_removed"),
        ("http://\u202eexample.com", "http://example.com", "characters_removed"),
        ("http://e\u0301xample.com", "http://éxample.com", "unicode_composed"),
    ],
)
def test_a_web_address_is_completed_and_told(given: str, expected: str, code: str) -> None:
    assert outcome("website_url", given) == (expected, [code])


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "javascript://example.com/%0aalert(1)", "data:text/html,x", "mailto:a@b.com"),
        *("ftp://example.com", "file:///etc/passwd", "http://user:pw@example.com", "http://user@example.com"),
        *("a@b.com", "@handle", "http://example.com\\@evil.com", "https://https://example.com"),
        *("http://1", "http://127.0.0.1", "http://0x7f.1", "http://2130706433/", "http://[::1]/", "http://1.2.3.4.5"),
        *("http://localhost", "http://example", "http://example.c", "http://a..b.com", "http://-a.com", "foo"),
        *("http:example.com", "http:/example.com", "http://", "http:///x", "//", "http://exa mple.com"),
        *("http://example.com/a b", "http://exam%70le.com", "http://ex\uff0eample.com", "http://example.com:port"),
    ],
)
def test_any_other_address_is_set_aside(url: str) -> None:
    assert outcome("website_url", url) == (None, ["url_refused"])


def test_an_address_that_the_item_does_not_allow_is_set_aside() -> None:
    assert outcome("website_url", "http://example.com/" + "x" * 1982) == (None, ["too_long"])
    assert outcome("website_url", "http://example.com:99999") == (None, ["invalid_value"])


@pytest.mark.parametrize("blank", ["", "  ", "\u00a0", None])
def test_a_blank_is_no_address(blank: str | None) -> None:
    assert outcome("website_url", blank) == (None, [])
