"""Errors say what, where and what to do, in so many lines."""

import pytest

from ingest_project import errors
from ingest_project.errors import IngestError, first_line

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IngestError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_without_words_of_its_own_says_its_three_lines(kind: type[IngestError]) -> None:
    what, where, todo = str(kind(where={"branch": "b"})).splitlines()
    assert what.endswith(("nothing was changed.", "."))
    assert where == "  where: branch b"
    assert todo.startswith("  do:    ")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_in_the_tree_on_top(kind: type[IngestError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("error", "otherwise", "said"),
    [
        (ValueError("one\ntwo"), "", "one"),
        (ValueError("\n  one  \n"), "x", "one"),
        (ValueError(), "", "ValueError"),
        (ValueError("  "), "no answer", "no answer"),
        ("", "Kind", "Kind"),
    ],
)
def test_of_a_librarys_error_the_first_line_is_said(error: object, otherwise: str, said: str) -> None:
    assert first_line(error, otherwise) == said
