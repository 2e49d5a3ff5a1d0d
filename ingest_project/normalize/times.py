"""When a row was last changed at its source: from ISO 8601, or the format of the branch, to UTC microseconds.

A row without a readable time ranks lowest, with a note. Nothing is guessed: 01/02/2024 may be two different days.
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
from ingest_project.normalize.columns import RuledColumns, Verdict, matches_pattern, note, scatter
from ingest_project.normalize.text import clean_text

FIELD = "source_updated_at"
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
_DAY = r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
# Texts that Arrow's parser and the rule below read alike. 29 February is left to the rule.
PLAIN = (
    rf"^[12][0-9]{{3}}-{_DAY}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-3])(?::?[0-5][0-9])?)$"
)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?[ ]?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
)
_MAX_OFFSET = timedelta(hours=18)
# Either day or month may come first.
_AMBIGUOUS = re.compile(r"[0-9]{1,2}([/.-])[0-9]{1,2}\1(?:[0-9]{4}|[0-9]{2})(?![0-9]).*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


def updated_at(array: pa.Array, zone: ZoneInfo, time_format: str | None = None) -> RuledColumns:
    """The column as UTC microseconds. `time_format`: that of its texts and numbers, besides ISO 8601."""
    if kinds.is_timestamp(array.type):
        return _from_timestamps(array, zone)
    if kinds.is_date(array.type):
        return _from_texts(array.cast(pa.date32()).cast(pa.string()), zone)
    return _from_texts(as_text(array), zone, time_format)


def _from_timestamps(array: pa.Array, zone: ZoneInfo) -> RuledColumns:
    if array.type.tz is None or array.type.unit == "ns":
        return _from_texts(iso_text(array), zone)
    try:
        times = array.cast(UTC_MICROSECONDS)
    except pa.ArrowInvalid:
        return _from_texts(iso_text(array), zone)
    # Years that Python does not know go through text, where they are refused.
    bounds = [pa.scalar(datetime(year, 1, 1, tzinfo=UTC), UTC_MICROSECONDS) for year in (2, 9999)]
    if pc.all(pc.and_(pc.greater(times, bounds[0]), pc.less(times, bounds[1]))).as_py() and not times.null_count:
        return RuledColumns((times,))
    return _from_texts(iso_text(array), zone)


def _from_texts(array: pa.Array, zone: ZoneInfo, time_format: str | None = None) -> RuledColumns:
    # With a format of its own, a text that looks like ISO 8601 may mean another time.
    accepted = pc.and_(matches_pattern(array, PLAIN), time_format is None)
    times = pc.if_else(accepted, array, pa.scalar(None, pa.string())).cast(UTC_MICROSECONDS)
    rest = pc.invert(accepted)
    if not pc.any(rest).as_py():
        return RuledColumns((times,))
    encoded = array.filter(rest).dictionary_encode(null_encoding="encode")
    verdicts = [read_time(text, zone, time_format) for text in encoded.dictionary.to_pylist()]
    decided = pa.array([verdict.values[0] for verdict in verdicts], UTC_MICROSECONDS).take(encoded.indices)
    notes = pa.array([",".join(verdict.notes) or None for verdict in verdicts], pa.string()).take(encoded.indices)
    return RuledColumns((pc.replace_with_mask(times, rest, decided),), (scatter(rest, notes),))


def read_time(text: str | None, zone: ZoneInfo, time_format: str | None = None) -> Verdict:
    """The rule for one time: in the format of the branch, or ISO 8601, in `zone` if it has no offset.

    A date means its midnight.
    """
    if text is None:
        return Verdict((None,), (note(FIELD, "time_missing", None, None),))
    cleaned = clean_text(text, mend=False) or ""
    formatted = _parse_format(cleaned, zone, time_format) if time_format else None
    if formatted is not None:
        is_cut = time_format in EPOCHS and Decimal(cleaned) * 1_000_000 % EPOCHS[time_format]
        return Verdict((formatted,), (_truncation_note(text, formatted),) if is_cut else ())
    match = _TIME.fullmatch(cleaned)
    time = _parse_iso(match, zone) if match else None
    if match is None or time is None:
        code = "time_ambiguous" if time_format is None and _AMBIGUOUS.fullmatch(cleaned) else "time_unreadable"
        return Verdict((None,), (note(FIELD, code, text, None),))
    is_cut = (match[7] or "")[6:].strip("0")
    return Verdict((time,), (_truncation_note(text, time),) if is_cut else ())


def _truncation_note(text: str, time: datetime) -> str:
    return note(FIELD, "time_truncated", text, time.isoformat())


def _parse_format(text: str, zone: ZoneInfo, time_format: str) -> datetime | None:
    try:
        if time_format in EPOCHS:
            return _since_epoch(text, EPOCHS[time_format])
        # Only ASCII, since strptime reads the digits of any script.
        time = datetime.strptime(text, time_format) if text.isascii() else None
        return time and (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _since_epoch(text: str, ticks_per_second: int) -> datetime | None:
    if not _NUMBER.fullmatch(text):
        return None
    return _EPOCH + timedelta(microseconds=int(Decimal(text) * 10**6 // ticks_per_second))


def _parse_iso(match: re.Match[str], zone: ZoneInfo) -> datetime | None:
    year, month, day, hour, minute, second = (int(match[group] or 0) for group in range(1, 7))
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    try:
        time = datetime(year, month, day, hour, minute, second, micros, tzinfo=_offset(match[8]) or zone)
        return time.astimezone(UTC)
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
