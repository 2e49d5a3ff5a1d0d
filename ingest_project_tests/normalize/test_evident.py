"""What is evidently in normal form is what the rule leaves alone: for every character, and all that ftfy looks for."""

from itertools import product

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ftfy.badness import is_bad
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.item import is_clean
from ingest_project.normalize.columns import matches_pattern
from ingest_project.normalize.evident import LATIN_WORDS, MOJIBAKE, accepted_texts
from ingest_project.normalize.text import clean_text
from ingest_project.sample.generate import places
from ingest_project_tests.normalize.mojibake import KNOWN, TOLD

LETTERS = [chr(at) for at in range(0xC0, 0x250)]


def _accepted(texts: list[str]) -> list[str]:
    array = pa.array(texts)
    return array.filter(accepted_texts(array)).to_pylist()


def _changed(texts: list[str]) -> list[str]:
    """Which of them the rule would change: all of them are folded at once, and looked into for mojibake one by one."""
    mended = [text for text in texts if "&" in text and clean_text(text) != text]
    folded = (clean_text("\n".join(texts), multiline=True, mend=False) or "").split("\n")
    return mended + [text for text, now in zip(texts, folded, strict=True) if text != now or is_bad(text)]


@pytest.mark.parametrize("around", ["{0}", "a{0}{0} {0}b", "é{0}É", "α{0}가{0}\u0e49"])
def test_any_character_that_is_accepted_stays_by_the_rule(around: str) -> None:
    accepted = _accepted([around.format(chr(at)) for at in (*range(0xD800), *range(0xE000, 0x20000))])
    assert len(accepted) > 100_000
    assert _changed(accepted) == []


def test_rare_characters_are_left_to_the_rule() -> None:
    assert _accepted([f"{chr(at)}{chr(at + 0xFF)}" for at in range(0x20000, 0x110000, 0x100)]) == []


def test_two_letters_that_are_accepted_stay_by_the_rule() -> None:
    accepted = _accepted([f"{one}{other}" for one, other in product(LETTERS, [*LETTERS, *"ЂВвΒ’”€°®§"])])
    assert len(accepted) > 100_000
    assert _changed(accepted) == []


def test_what_ftfy_takes_for_mojibake_is_never_accepted() -> None:
    texts = [f"a{one}{other}" for one, other in product(TOLD, TOLD)]
    kept = pa.array(texts).filter(pc.invert(matches_pattern(pa.array(texts), MOJIBAKE))).to_pylist()
    assert not any(map(is_bad, kept))


@settings(max_examples=200)
@given(st.lists(st.sampled_from(TOLD), min_size=3, max_size=9).map("".join))
def test_nor_is_a_longer_one(text: str) -> None:
    if is_bad(text):
        assert matches_pattern(pa.array([text]), MOJIBAKE).to_pylist() == [True]


@pytest.mark.parametrize("text", KNOWN)
def test_each_kind_of_mojibake_is_looked_at(text: str) -> None:
    assert is_bad(text)
    assert _accepted([text, f"東京 {text}", f"a {text} b"]) == []


@pytest.mark.parametrize(
    "text",
    [
        *("Łódź", "ÀÁ", "Ää", "töölö", "Île-de-France", "Þórshöfn", "Đà Nẵng", "Phường Bến Nghé", "O’Neill – “Bar”"),
        *(
            "Ακρόπολη Αθηνών",
            "Эрмитаж",
            "Київ",
            "ნარიყალა",
            "مسجد الحسن الثاني",
            "بُرج",
            "ירושלים",
            "วัดพระแก้ว",
            "กุ้ง",
            "ผู้",
        ),
        *(
            "ताज महल",
            "東京駅",
            "カフェ・ド・フロール",
            "부산역",
            "北京市朝阳区",
            "Café 🍕",
            "㈱ホテル",
            "ሰላም",
            "naïve £5 ½ 10°",
        ),
    ],
)
def test_names_of_the_world_are_evident(text: str) -> None:
    assert is_clean(text)
    assert _accepted([text, f"{text} 12", f"12, {text}"]) == [text, f"{text} 12", f"12, {text}"]


def test_the_places_of_the_demo_need_no_rule() -> None:
    texts = [value for row in places() for value in row.values() if value]
    assert len(texts) > 1000
    assert set(texts) - set(_accepted(texts)) == {text for text in texts if "\u200c" in text}


@pytest.mark.parametrize(
    "text", ["", " ", "日 ", " 日", "日  本", "日\n本", "日\u00a0本", "日\u3000本", "&eacute;", '="日"']
)
def test_what_the_rule_may_change_is_left_to_it(text: str) -> None:
    assert _accepted([text]) == []


def test_nulls_are_not_accepted_and_keep_their_places() -> None:
    texts = [None, "a", "日本", None, "日 ", "é"]
    assert accepted_texts(pa.array(texts, pa.string())).to_pylist() == [False, True, True, False, False, True]
    assert accepted_texts(pa.array([], pa.string())).to_pylist() == []
    assert accepted_texts(pa.nulls(2, pa.string())).to_pylist() == [False, False]


def test_most_of_latin_script_is_told_at_first_sight() -> None:
    texts = ["Zürich", "São Paulo", "Malmö", "Érd Á", "Łódź", "œuvre", "Ã¼", "日本"]
    assert pa.array(texts).filter(matches_pattern(pa.array(texts), LATIN_WORDS)).to_pylist() == texts[:4]


@pytest.mark.parametrize("text", ["a\nb", "a b\n\nc", "日本\n東京 a", "é;\n= b", "Tom & Jerry; 1 = 2"])
def test_lines_are_evident_where_a_field_has_them(text: str) -> None:
    array = pa.array([text, f"a\n{text}"])
    assert accepted_texts(array, multiline=True).to_pylist() == [True, True]
    assert accepted_texts(array).to_pylist() == ["\n" not in text, False]
    assert clean_text(text, multiline=True) == text


@pytest.mark.parametrize(
    "text", ["a\n", "\na", "a \nb", "a\n b", "a\r\nb", "a\tb", "日\n\u3000b", "a\n&amp;", "a\ncafÃ©"]
)
def test_lines_that_the_rule_changes_are_left_to_it(text: str) -> None:
    assert accepted_texts(pa.array([text]), multiline=True).to_pylist() == [False]
    assert clean_text(text, multiline=True) != text
