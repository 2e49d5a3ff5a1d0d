"""The built-in provider: the same text has the same vector everywhere, and what shares words is near."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.embeddings.providers import Vectors
from ingest_project.embeddings.providers.lexical import Lexical
from ingest_project.errors import UsageError

# Made once. Whoever changes what the provider makes of a text gives the model another version.
GOLDEN = {
    "Café am Hafen\nBerlin\nDE": {
        0: -0.0985,
        1: -0.0985,
        4: -0.3941,
        5: 0.3941,
        7: -0.0985,
        8: -0.0985,
        9: -0.0985,
        10: -0.0985,
        12: -0.0985,
        17: 0.0985,
        19: 0.0985,
        21: 0.4927,
        22: -0.0985,
        23: 0.0985,
        26: -0.2956,
        27: 0.3941,
        28: 0.2956,
        31: 0.0985,
    },
    "東京タワー": {
        1: -0.1925,
        9: -0.1925,
        12: 0.1925,
        16: -0.3849,
        19: 0.1925,
        22: -0.1925,
        24: 0.1925,
        28: -0.1925,
        30: 0.7698,
    },
    "!!!": {22: 1.0},
}


def embedded(*texts: str, dims: int = 384) -> Vectors:
    return Lexical(dims=dims).embed(texts)


def near(one: str, other: str) -> float:
    first, second = embedded(one, other)
    return float(first @ second)


@pytest.mark.parametrize("text", GOLDEN)
def test_a_text_has_the_vector_that_it_always_had(text: str) -> None:
    (vector,) = embedded(text, dims=32)
    assert {int(at): pytest.approx(float(vector[at]), abs=1e-4) for at in np.flatnonzero(vector)} == GOLDEN[text]


@given(st.lists(st.text(), max_size=5))
def test_every_text_has_a_unit_vector_that_its_neighbours_do_not_touch(texts: list[str]) -> None:
    vectors = embedded(*texts)
    assert vectors.shape == (len(texts), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    for text, vector in zip(texts, vectors, strict=True):
        assert np.array_equal(embedded(text)[0], vector)


@given(st.text(alphabet=st.characters(codec="utf-8")), st.sampled_from([" ", "\n", ", "]))
def test_order_of_words_and_what_parts_them_do_not_matter(text: str, between: str) -> None:
    words = ["harbour", "café", text.casefold()]
    assert near(between.join(words), " ".join(words)) == pytest.approx(1, abs=1e-5)
    assert near(" ".join(["harbour", "café"]), between.join(["café", "harbour"])) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("other", ["CAFE AM HAFEN", "cafe\u0301 am hafen", "  Café,  am (Hafen)! ", "Ｃafé am Hafen"])
def test_case_accents_width_and_signs_do_not_matter(other: str) -> None:
    assert near("Café am Hafen", other) == pytest.approx(1, abs=1e-5)


def test_what_shares_words_is_nearer_than_what_shares_parts_is_nearer_than_what_shares_nothing() -> None:
    words, parts, nothing = (
        near("Café am Hafen", other) for other in ("Café am See", "Hafencafé", "Bäckerei Münchner Ring")
    )
    assert words > parts > abs(nothing) + 0.05


def test_marks_that_are_letters_are_not_accents() -> None:
    assert near("हिन्दी", "हन्द") < 0.9
    assert unicodedata.category("ि")[0] == "M"


@pytest.mark.parametrize("text", ["", " ", "!!!", "\0", "\ud800", "…—"])
def test_a_text_without_words_has_a_vector_too(text: str) -> None:
    assert np.count_nonzero(embedded(text)) == 1 or text == "\ud800"
    assert np.linalg.norm(embedded(text)) == pytest.approx(1)


def test_no_texts_no_vectors() -> None:
    assert embedded().shape == (0, 384)


def test_it_has_one_model() -> None:
    with pytest.raises(UsageError, match="no model 'bge'"):
        Lexical("bge")
