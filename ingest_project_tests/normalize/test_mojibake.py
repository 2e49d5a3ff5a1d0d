"""Mojibake is what ftfy takes for it, in a text of any length; and what may have to be removed from a line is known."""

import re
from itertools import product

import pytest
from ftfy.badness import BADNESS_RE, is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.item import SUSPECT, is_kept
from ingest_project.normalize import text as rule
from ingest_project_tests.normalize.mojibake import KNOWN, TOLD

_is_bad, _visible, _REACH = rule._is_bad, rule._visible, rule._REACH  # pyright: ignore[reportPrivateUsage]


def test_no_pattern_of_ftfy_is_longer_than_what_is_looked_at() -> None:
    parsed = re._parser.parse(BADNESS_RE.pattern, BADNESS_RE.flags)  # type: ignore[attr-defined]  # pyright: ignore
    assert parsed.getwidth()[1] <= _REACH + 1


@pytest.mark.parametrize("around", ["{}{}", "a{}{}b", "a {}{} b", "{}a{}"])
def test_two_characters_are_told_as_ftfy_tells_them(around: str) -> None:
    texts = [around.format(one, other) for one, other in product(TOLD, TOLD)]
    assert [text for text in texts if _is_bad(text) != is_bad(text)] == []


@settings(max_examples=1000)
@given(
    st.lists(st.one_of(st.sampled_from(TOLD), st.sampled_from(KNOWN), st.just("plain words ")), max_size=12).map(
        "".join
    )
)
def test_longer_texts_are_told_as_ftfy_tells_them(text: str) -> None:
    assert _is_bad(text) == is_bad(text)


@pytest.mark.parametrize("text", KNOWN)
def test_each_kind_is_found_in_a_long_text(text: str) -> None:
    for words in (text, f"{text} {'plain ' * 90}", f"größe {'plain ' * 90}{text}", f"naïve “é” {text} {'日本' * 50}"):
        assert _is_bad(words) == is_bad(words)
    assert _is_bad(text)


def test_whatever_a_line_may_not_keep_is_suspect() -> None:
    chars = [chr(at) for at in range(0x110000)]
    assert [char for char in chars if not is_kept(f"a{char}b", 1) and not SUSPECT.match(char)] == []
    assert [char for char in chars if char.isspace() and char != " " and not SUSPECT.match(char)] == []


@given(st.text(st.sampled_from("ab é日\u200c\u200d\u200b\u00a0\t\x85\x07\u3000\u2028👨"), max_size=12))
def test_what_is_visible_is_told_letter_by_letter(text: str) -> None:
    spaced = "".join(" " if char.isspace() else char for char in text)
    assert _visible(text) == "".join(char for at, char in enumerate(spaced) if is_kept(spaced, at))
