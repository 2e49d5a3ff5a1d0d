"""Is it open: the words that listings use, brought to three."""

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import cleaned

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
    """One of three, or set aside."""
    if text is None or text in _WORDS:
        return Verdict((text,))
    found = _STATUS.get((cleaned(text) or "").lower().replace("_", " ").replace("-", " "))
    code = "status_recognised" if found else "status_unknown"
    return Verdict((found,), (note("status", code, text, found),))
