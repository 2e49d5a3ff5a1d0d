"""Lines and multi-line text in normal form: what goes, what stays, what is said."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.item import Item
from ingest_project.normalize.columns import storable
from ingest_project.normalize.part import SINGLE_LINE_FIELDS
from ingest_project.normalize.text import clean_text
from ingest_project_tests.normalize.pages import outcome, part, row, rows_of

LONGEST = {
    "name": 500,
    "category": 200,
    "street": 300,
    "house_number": 50,
    "unit": 100,
    "po_box": 100,
    "sublocality": 200,
    "locality": 200,
    "region_name": 200,
}


@pytest.mark.parametrize(
    ("given", "expected", "codes"),
    [
        ("Café", "Café", []),
        ("Cafe\u0301", "Café", ["unicode_composed"]),
        ("a\u200bb", "ab", ["characters_removed"]),
        ("\ufeffBar", "Bar", ["characters_removed"]),
        ("a\0b", "ab", ["characters_removed"]),
        ("a\u00adb", "ab", ["characters_removed"]),
        ("\u202eevil", "evil", ["characters_removed"]),
        ("\u2066in\u2069", "in", ["characters_removed"]),
        ("a\u200cb", "ab", ["characters_removed"]),
        ("\x9dx", "x", ["characters_removed"]),
        ("a\x7fb", "ab", ["characters_removed"]),
        ("a\u2060e\u0301", "aé", ["characters_removed"]),
        ("a\u00a0b", "a b", ["whitespace_folded"]),
        ("a\u2003b", "a b", ["whitespace_folded"]),
        ("a\tb", "a b", ["whitespace_folded"]),
        ("a\nb", "a b", ["whitespace_folded"]),
        ("\u3000x\u3000", "x", ["whitespace_folded"]),
        ("\x1cfoo", "foo", ["whitespace_folded"]),
        ("  a   b ", "a b", ["whitespace_folded"]),
        ("FranÃ§ois", "François", ["mojibake_repaired"]),
        ("schÃ¶n â€“ gut", "schön – gut", ["mojibake_repaired"]),
        ("a\x85b", "a…b", ["mojibake_repaired"]),  # an ellipsis of Windows, read as Latin-1
        ("ß\x08¢", "ߢ", ["characters_removed"]),  # two letters that are mojibake once they stand together
        ("", None, []),
        ("   ", None, []),
        ("\u200b", None, ["characters_removed"]),
        ("\u3164", None, ["characters_removed"]),  # the Hangul filler, with which people leave a name empty
        ("\u2800 \u061c\u180e", None, ["characters_removed"]),
        ("a\u061cb", "ab", ["characters_removed"]),
        ("\0", None, ["characters_removed"]),
        ("\x1f", None, ["characters_removed"]),
    ],
)
def test_dirt_in_a_line_is_removed_and_named(given: str, expected: str | None, codes: list[str]) -> None:
    assert outcome("category", given) == (expected, codes)


@pytest.mark.parametrize(
    "text",
    [
        "ALL CAPS",
        "St. John's Rd. #5",
        "А\u0440\u0442",  # Cyrillic letters that look Latin: who are we to tell
        "می\u200cخواهم",
        "\U0001f468\u200d\U0001f469",
        "Ａ１",
        "ﬁn",
        "東京都",
        "L’Hôtel",
        "naïve ÃÃ",
        "a <b> & \"c\" \\ 'd'",
    ],
)
def test_good_text_stays_as_it_is(text: str) -> None:
    assert outcome("category", text) == (text, [])


def test_a_zero_width_space_is_no_name() -> None:
    made = part({"name": ["\u200b", "\u200bx"]})
    assert [one["name"] for one in rows_of(made)] == ["x"]
    assert [reject.errors[0]["code"] for reject in made.rejects] == ["name_missing"]


@pytest.mark.parametrize(
    ("given", "expected", "codes"),
    [
        ("a\nb", "a\nb", []),
        ("a\n\n\nb", "a\n\n\nb", []),
        ("a\r\nb", "a\nb", ["whitespace_folded"]),
        ("a\rb", "a\nb", ["whitespace_folded"]),
        ("a\u2028b\u2029c", "a\nb\nc", ["whitespace_folded"]),
        (" a \n b ", "a\nb", ["whitespace_folded"]),
        ("\n\na\n", "a", ["whitespace_folded"]),
        ("a\x0bb", "a b", ["whitespace_folded"]),
        ("a\n\u200b\nb", "a\n\nb", ["characters_removed"]),
        ("\n \n", None, []),
    ],
)
def test_a_description_keeps_its_lines(given: str, expected: str | None, codes: list[str]) -> None:
    assert outcome("description", given) == (expected, codes)


@pytest.mark.parametrize("field", [field for field in SINGLE_LINE_FIELDS if field != "name"])
@pytest.mark.parametrize("letter", ["x", "é", "\U0001d538"])
def test_the_longest_text_is_kept_and_one_more_character_is_set_aside(field: str, letter: str) -> None:
    longest = LONGEST[field]
    assert outcome(field, letter * longest) == (letter * longest, [])
    assert outcome(field, letter * (longest + 1)) == (None, ["too_long"])


def test_the_longest_description_is_kept_and_one_more_character_is_set_aside() -> None:
    assert outcome("description", "x" * 20_000) == ("x" * 20_000, [])
    assert outcome("description", "x" * 20_001) == (None, ["too_long"])


def test_length_is_counted_after_cleaning() -> None:
    assert outcome("house_number", "1" * 50 + "\u200b" + " ") == ("1" * 50, ["characters_removed"])


def test_a_long_text_that_was_cleaned_tells_both() -> None:
    assert outcome("house_number", "1" * 51 + " ") == (None, ["whitespace_folded", "too_long"])


def test_the_lengths_tested_here_are_those_declared() -> None:
    declared = {
        field: next(mark.max_length for mark in Item.model_fields[field].metadata if hasattr(mark, "max_length"))
        for field in SINGLE_LINE_FIELDS
    }
    assert declared == LONGEST


def test_an_issue_shows_what_was_and_what_is() -> None:
    assert row({"category": "a\u200b  b"}).issues == [
        {"field": "category", "code": "characters_removed", "from": "a\u200b  b", "to": "a b"}
    ]


def test_an_issue_shows_two_hundred_characters_and_no_nul() -> None:
    found = row({"street": "\0" + "x" * 301})
    assert found.issues[1] == {"field": "street", "code": "too_long", "from": "x" * 200, "to": None}
    assert "\0" not in json.dumps(found.issues)


@pytest.mark.parametrize("field", ["external_id", "name"])
def test_a_key_is_never_mended_and_a_name_is(field: str) -> None:
    expected: dict[str, tuple[Any, list[str]]] = {
        "external_id": ("FranÃ§ois", []),
        "name": ("François", ["mojibake_repaired"]),
    }
    assert outcome(field, "FranÃ§ois") == expected[field]


@pytest.mark.parametrize(
    ("key", "expected", "codes"),
    [
        (" k 1 ", "k 1", ["whitespace_folded"]),
        ("k\u200b1", "k1", ["characters_removed"]),
        ('="007"', "007", ["guard_removed"]),
        ('\u200b="007"', "007", ["guard_removed"]),
        ("K1", "K1", []),
        ("00042", "00042", []),
        ("NA", "NA", []),
        ("x" * 200, "x" * 200, []),
    ],
)
def test_a_key_is_cleaned_as_a_line_is(key: str, expected: str, codes: list[str]) -> None:
    assert outcome("external_id", key) == (expected, codes)


@pytest.mark.parametrize(
    "text", ["a\u200d\u200db", "e\u200b\u0301", "\u200c\u200d", " \u00ad ", "a \u200b b", "é\u200d\n\u200d"]
)
@pytest.mark.parametrize("multiline", [False, True])
def test_cleaning_twice_is_cleaning_once(text: str, multiline: bool) -> None:
    once = clean_text(text, multiline=multiline)
    assert once is None or clean_text(once, multiline=multiline) == once


@given(st.lists(st.sampled_from(["&", "amp;", "quot;", "#61;", "=", '"', "7", " ", "\u200b", "é", "Ã©"])).map("".join))
def test_cleaning_what_programs_wrote_twice_is_cleaning_it_once(text: str) -> None:
    for mend in (False, True):
        once = clean_text(text, mend=mend)
        assert once is None or clean_text(once, mend=mend) == once


@pytest.mark.parametrize(("given", "expected"), [("a\0b", "ab"), ("a\ud800b", "a?b"), ("é", "é"), ("", "")])
def test_storable_text_has_no_nul_and_no_lone_surrogate(given: str, expected: str) -> None:
    assert storable(given) == expected


def test_equal_dirt_in_many_rows_is_told_in_each_of_them() -> None:
    found = rows_of(part({"category": pa.array(["a", " a", None, " a", "a"])}))
    assert [(one["category"], one.codes) for one in found] == [
        ("a", []),
        ("a", ["category: whitespace_folded"]),
        (None, []),
        ("a", ["category: whitespace_folded"]),
        ("a", []),
    ]
