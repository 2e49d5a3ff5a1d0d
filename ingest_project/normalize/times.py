"""When a row was last changed: ISO 8601, or as the branch declares, to UTC microseconds.

What is no such time ranks lowest, and says so. Nothing is guessed: 01/02/2024 is two days.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.branches.spec import EPOCHS
from ingest_project.normalize.cells import as_text, iso_text
from ingest_project.normalize.columns import Ruled, Verdict, accepted_pattern, note, spread
from ingest_project.normalize.text import cleaned

FIELD = "source_updated_at"
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
_DAY = r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
# What Arrow's own parser and the rule below read alike. A 29 February goes to the rule.
PLAIN = (
    rf"^[12][0-9]{{3}}-{_DAY}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-3])(?::?[0-5][0-9])?)$"
)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?[ ]?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
)
_MAX_OFFSET = timedelta(hours=18)


# Days and months in an order that only a declaration tells.
_AMBIGUOUS = re.compile(r"[0-9]{1,2}([/.-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})(?![0-9]).*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


def updated_at(array: pa.Array, zone: ZoneInfo, declared: str | None = None) -> Ruled:
    """The column as UTC microseconds, with notes. `declared`: the format of its texts and numbers, beside ISO 8601."""
    if kinds.is_timestamp(array.type):
        return _typed(array, zone)
    if kinds.is_date(array.type):
        return _texts(array.cast(pa.date32()).cast(pa.string()), zone)
    return _texts(as_text(array), zone, declared)


def _typed(array: pa.Array, zone: ZoneInfo) -> Ruled:
    if array.type.tz is None or array.type.unit == "ns":
        return _texts(iso_text(array), zone)
    try:
        found = array.cast(UTC_MICROSECONDS)
    except pa.ArrowInvalid:
        return _texts(iso_text(array), zone)
    # The years that Python and ISO know; the others go through text, and are refused there.
    bounds = [pa.scalar(datetime(year, 1, 1, tzinfo=UTC), UTC_MICROSECONDS) for year in (2, 9999)]
    if pc.all(pc.and_(pc.greater(found, bounds[0]), pc.less(found, bounds[1]))).as_py() and not found.null_count:
        return Ruled((found,))
    return _texts(iso_text(array), zone)


def _texts(array: pa.Array, zone: ZoneInfo, declared: str | None = None) -> Ruled:
    fast = pc.and_(accepted_pattern(array, PLAIN), declared is None)  # which may say what ISO would, otherwise
    times = pc.if_else(fast, array, pa.scalar(None, pa.string())).cast(UTC_MICROSECONDS)
    slow = pc.invert(fast)
    if not pc.any(slow).as_py():
        return Ruled((times,))
    encoded = array.filter(slow).dictionary_encode(null_encoding="encode")
    verdicts = [read_time(text, zone, declared) for text in encoded.dictionary.to_pylist()]
    found = pa.array([one.values[0] for one in verdicts], UTC_MICROSECONDS).take(encoded.indices)
    notes = pa.array([",".join(one.notes) or None for one in verdicts], pa.string()).take(encoded.indices)
    return Ruled((pc.replace_with_mask(times, slow, found),), (spread(slow, notes),))


def read_time(given: str | None, zone: ZoneInfo, declared: str | None = None) -> Verdict:
    """One time of a row: as declared, or ISO 8601 with an offset, or in the branch's zone; a day is its midnight."""
    if given is None:
        return Verdict((None,), (note(FIELD, "time_missing", None, None),))
    text = cleaned(given, mend=False) or ""
    known = _declared(text, zone, declared) if declared else None
    if known is not None:
        cut = declared in EPOCHS and Decimal(text) * 1_000_000 % EPOCHS[declared]
        return Verdict((known,), (_truncated(given, known),) if cut else ())
    match = _TIME.fullmatch(text)
    found = _moment(match, zone) if match else None
    if match is None or found is None:
        code = "time_ambiguous" if declared is None and _AMBIGUOUS.fullmatch(text) else "time_unreadable"
        return Verdict((None,), (note(FIELD, code, given, None),))
    cut = (match[7] or "")[6:].strip("0")
    return Verdict((found,), (_truncated(given, found),) if cut else ())


def _truncated(given: str, found: datetime) -> str:
    return note(FIELD, "time_truncated", given, found.isoformat())


def _declared(text: str, zone: ZoneInfo, declared: str) -> datetime | None:
    try:
        if declared in EPOCHS:
            return _since_epoch(text, EPOCHS[declared])
        # strptime takes the digits of any script.
        found = datetime.strptime(text, declared) if text.isascii() else None
        return found and (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _since_epoch(text: str, ticks: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=int(Decimal(text) * 10**6 // ticks)) if _NUMBER.fullmatch(text) else None


def _moment(match: re.Match[str], zone: ZoneInfo) -> datetime | None:
    year, month, day, hour, minute, second = (int(match[at] or 0) for at in range(1, 7))
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    try:
        naive = datetime(year, month, day, hour, minute, second, micros, tzinfo=_offset(match[8]) or zone)
        return naive.astimezone(UTC)
    except (ValueError, OverflowError):  # 30 February, 24:00, :60, +99, or beyond the years 1 to 9999
        return None


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "")
    minutes = int(digits[2:] or 0)
    size = timedelta(hours=int(digits[:2]), minutes=minutes)
    if minutes > 59 or size > _MAX_OFFSET:  # noqa: PLR2004 - minutes of an hour
        raise ValueError("no such offset")
    return timezone(-size if text[0] == "-" else size)
