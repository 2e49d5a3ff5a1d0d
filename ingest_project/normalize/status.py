"""Whether a place is open, temporarily or permanently closed, from the words that listings use."""

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import clean_text

_WORDS = {
    "open": ("open", "operational", "active", "opened", "in operation"),
    "temporarily_closed": ("temporarily closed", "closed temporarily", "temporary closed", "seasonal"),
    "permanently_closed": (
        *("permanently closed", "closed permanently", "closed", "out of business", "demolished"),
        *("defunct", "inactive"),
    ),
}
_STATUS = {word: status for status, words in _WORDS.items() for word in words}


def status(text: str | None) -> Verdict:
    """The rule for status."""
    if text is None or text in _WORDS:
        return Verdict((text,))
    recognised = _STATUS.get((clean_text(text) or "").lower().replace("_", " ").replace("-", " "))
    code = "status_recognised" if recognised else "status_unknown"
    return Verdict((recognised,), (note("status", code, text, recognised),))
