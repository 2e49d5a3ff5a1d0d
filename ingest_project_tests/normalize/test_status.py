"""The words that listings use for open and closed."""

import pytest

from ingest_project_tests.normalize.pages import outcome, row


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("OPEN", "open"),
        ("Operational", "open"),
        ("active", "open"),
        ("In operation", "open"),
        ("  open ", "open"),
        ("Open\u200b", "open"),
        ("closed", "permanently_closed"),
        ("CLOSED_PERMANENTLY", "permanently_closed"),
        ("permanently-closed", "permanently_closed"),
        ("Out of business", "permanently_closed"),
        ("defunct", "permanently_closed"),
        ("CLOSED_TEMPORARILY", "temporarily_closed"),
        ("temporarily  closed", "temporarily_closed"),
        ("seasonal", "temporarily_closed"),
    ],
)
def test_a_word_for_a_status_is_recognised_and_told(given: str, expected: str) -> None:
    assert outcome("status", given) == (expected, ["status_recognised"])


@pytest.mark.parametrize("status", ["open", "temporarily_closed", "permanently_closed"])
def test_a_status_is_kept_without_a_word(status: str) -> None:
    assert outcome("status", status) == (status, [])


@pytest.mark.parametrize("given", ["maybe", "true", "1", "not open", "reopened?", "ouvert"])
def test_any_other_word_is_set_aside(given: str) -> None:
    assert outcome("status", given) == (None, ["status_unknown"])


@pytest.mark.parametrize("given", ["", " ", "\u00a0", None])
def test_a_blank_is_no_status_and_needs_no_word(given: str | None) -> None:
    assert outcome("status", given) == (None, [])


def test_a_typed_status_is_read_as_its_text() -> None:
    assert outcome("status", True) == (None, ["status_unknown"])


def test_the_issue_tells_the_word() -> None:
    assert row({"status": "CLOSED"}).issues == [
        {"field": "status", "code": "status_recognised", "from": "CLOSED", "to": "permanently_closed"}
    ]
