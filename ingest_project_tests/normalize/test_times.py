"""When a row was last changed: ISO 8601 to UTC microseconds; what is no such time ranks lowest and says so."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from ingest_project.normalize.times import read_time, updated_at
from ingest_project_tests.normalize.pages import part, row, rows_of

MISSING, UNREADABLE, TRUNCATED = (f"source_updated_at: time_{word}" for word in ("missing", "unreadable", "truncated"))
SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def _time(value: object, **settings: object) -> tuple[datetime | None, list[str]]:
    found = row({"t": value}, updated_at="t", **settings)
    return found["source_updated_at"], found.codes


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02", _utc(2024, 1, 2)),
        ("2024-01-02 03:04:05", _utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04:05Z", _utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02t03:04:05z", _utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04:05 Z", _utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04Z", _utc(2024, 1, 2, 3, 4)),
        ("2024-01-02T03:04:05+02", _utc(2024, 1, 2, 1, 4, 5)),
        ("2024-01-02T03:04:05+0200", _utc(2024, 1, 2, 1, 4, 5)),
        ("2024-01-02T03:04:05+02:00", _utc(2024, 1, 2, 1, 4, 5)),
        ("2024-01-02T03:04:05-09:30", _utc(2024, 1, 2, 12, 34, 5)),
        ("2024-01-02T03:04:05-00:00", _utc(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02T03:04:05+05:45", _utc(2024, 1, 1, 21, 19, 5)),
        ("2024-01-02T03:04:05+14:00", _utc(2024, 1, 1, 13, 4, 5)),
        ("2024-01-02T03:04:05+18:00", _utc(2024, 1, 1, 9, 4, 5)),
        ("2024-01-02 03:04:05.1+00", _utc(2024, 1, 2, 3, 4, 5, 100_000)),
        ("2024-01-02T03:04:05.123456Z", _utc(2024, 1, 2, 3, 4, 5, 123_456)),
        ("2024-01-02T03:04:05.123456000Z", _utc(2024, 1, 2, 3, 4, 5, 123_456)),
        ("2024-02-29T00:00:00Z", _utc(2024, 2, 29)),
        ("2000-02-29T00:00:00Z", _utc(2000, 2, 29)),
        ("1900-01-01T00:00:00Z", _utc(1900, 1, 1)),
        ("1969-12-31T23:59:59.999999Z", _utc(1969, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01T00:00:00Z", _utc(1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", _utc(9999, 12, 31, 23, 59, 59, 999_999)),
        (" 2024-01-02 ", _utc(2024, 1, 2)),
        ("\ufeff2024-01-02", _utc(2024, 1, 2)),
        ("2024-01-02\u00a003:04:05", _utc(2024, 1, 2, 3, 4, 5)),
    ],
)
def test_a_time_of_iso_8601_is_read_without_a_word(text: str, expected: datetime) -> None:
    assert _time(text) == (expected, [])


@pytest.mark.parametrize(
    "text",
    [
        *("20240102", "1704153600", "1704153600000", "2024", "2024-01", "2024-1-2", "1/2", "2024/01/02"),
        *("infinity", "-infinity", "now", "today", "epoch", "NaT", "null", "2024-W01-1", "2024-001", "03:04:05"),
        *("2024-01-02T03:04:60Z", "2024-01-02T24:00:00Z", "2024-01-02T25:00:00Z", "2024-01-02T03:60:00Z"),
        *("2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31", "2024-13-01"),
        *("2024-00-01", "2024-01-00", "2024-01-32", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "-2024-01-01"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2024-01-02T03:04:05+18:01"),
        *("2024-01-02T03:04:05+02:60", "2024-01-02T03:04:05+2", "2024-01-02T03:04:05 UTC", "2024-01-02T03:04:05 CET"),
        *("2024-01-02T03:04:05,5Z", "2024-01-02T03:04:05.Z", "2024-01-02 03", "2024-01-02Z", "2024-01-02T03Z"),
        *("٢٠٢٤-٠١-٠٢", "２０２４-01-02", "2024-01-02T03:04:05ZZ", "2024-01-02 03:04:05 2024-01-02"),
    ],
)
def test_what_is_no_such_time_ranks_lowest_and_says_so(text: str) -> None:
    assert _time(text) == (None, [UNREADABLE])


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2024-01-02T03:04:05.123456789Z", 123_456),
        ("2024-01-02T03:04:05.1234560001", 123_456),
        ("2024-01-02T03:04:05.9999999Z", 999_999),
        ("2024-01-02T03:04:05.000000999+00", 0),
    ],
)
def test_nanoseconds_are_cut_and_told_never_rounded_up(text: str, micros: int) -> None:
    assert _time(text) == (_utc(2024, 1, 2, 3, 4, 5, micros), [TRUNCATED])


@pytest.mark.parametrize("blank", ["", " ", "\u00a0", None])
def test_a_blank_time_ranks_lowest(blank: str | None) -> None:
    assert _time(blank) == (None, [MISSING])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-01 12:00:00", _utc(2024, 7, 1, 10)),
        ("2024-01-01 12:00:00", _utc(2024, 1, 1, 11)),
        ("2024-01-01", _utc(2023, 12, 31, 23)),
        ("2024-07-01T12:00:00Z", _utc(2024, 7, 1, 12)),
        ("2024-07-01T12:00:00-04:00", _utc(2024, 7, 1, 16)),
        ("2024-03-31 02:30:00", _utc(2024, 3, 31, 1, 30)),  # an hour that Berlin did not have
        ("2024-10-27 02:30:00", _utc(2024, 10, 27, 0, 30)),  # one that it had twice: the first
    ],
)
def test_a_time_without_an_offset_is_of_the_branch_s_zone(text: str, expected: datetime) -> None:
    assert _time(text, time_zone="Europe/Berlin") == (expected, [])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(("zone", "expected"), [(None, _utc(2024, 1, 1, 23)), ("UTC", _utc(2024, 1, 2))])
def test_a_typed_time_of_any_unit_is_read(unit: str, zone: str | None, expected: datetime) -> None:
    array = pa.array([1_704_153_600 * SECOND[unit]], pa.int64()).cast(pa.timestamp(unit, zone))
    assert _time(array, time_zone="Europe/Berlin") == (expected, [])


def test_a_typed_time_of_another_zone_is_the_same_moment() -> None:
    array = pa.array([1_704_153_600_000_001], pa.timestamp("us", "America/New_York"))
    assert _time(array, time_zone="Europe/Berlin") == (_utc(2024, 1, 2, 0, 0, 0, 1), [])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1_704_153_600_123_456_789], pa.timestamp("ns")), (_utc(2024, 1, 2, 0, 0, 0, 123_456), [TRUNCATED])),
        (
            pa.array([1_704_153_600_123_456_789], pa.timestamp("ns", "UTC")),
            (_utc(2024, 1, 2, 0, 0, 0, 123_456), [TRUNCATED]),
        ),
        (pa.array([1_704_153_600_123_456_000], pa.timestamp("ns", "UTC")), (_utc(2024, 1, 2, 0, 0, 0, 123_456), [])),
        (pa.array([None], pa.timestamp("us", "UTC")), (None, [MISSING])),
        (pa.array([None], pa.null()), (None, [MISSING])),
        (pa.array([2**62], pa.timestamp("s")), (None, [UNREADABLE])),
        (pa.array([2**62], pa.timestamp("s", "UTC")), (None, [UNREADABLE])),
        (pa.array([2**62], pa.timestamp("us", "UTC")), (None, [UNREADABLE])),
        (pa.array([-62_135_596_800], pa.timestamp("s", "UTC")), (_utc(1, 1, 1), [])),
        (pa.array([-62_135_596_801], pa.timestamp("s", "UTC")), (None, [UNREADABLE])),
        (pa.array([253_402_300_799], pa.timestamp("s", "UTC")), (_utc(9999, 12, 31, 23, 59, 59), [])),
        (pa.array([253_402_300_800], pa.timestamp("s", "UTC")), (None, [UNREADABLE])),
        (pa.array([date(2024, 1, 2)]), (_utc(2024, 1, 2), [])),
        (pa.array([date(2024, 1, 2)], pa.date64()), (_utc(2024, 1, 2), [])),
        (pa.array([2**30], pa.date32()), (None, [UNREADABLE])),
        (pa.array([b"2024-01-02"]), (_utc(2024, 1, 2), [])),
        (pa.array(["2024-01-02"]).dictionary_encode(), (_utc(2024, 1, 2), [])),
        (pa.array([1_704_153_600]), (None, [UNREADABLE])),
        (pa.array([1.5]), (None, [UNREADABLE])),
        (pa.array([True]), (None, [UNREADABLE])),
        (pa.array([1], pa.time64("us")), (None, [UNREADABLE])),
    ],
)
def test_typed_times_at_their_edges(array: pa.Array, expected: tuple[datetime | None, list[str]]) -> None:
    assert _time(array) == expected


def test_one_bad_time_leaves_the_others_of_its_page() -> None:
    texts = ["2024-01-02T00:00:00Z", "x", None, "2024-01-02T00:00:00Z", "2024-02-29T12:00:00+02:00"]
    found = rows_of(part({"t": pa.array(texts)}, updated_at="t"))
    times = [one["source_updated_at"] for one in found]
    assert times == [_utc(2024, 1, 2), None, None, _utc(2024, 1, 2), _utc(2024, 2, 29, 10)]
    assert [one.codes for one in found] == [[], [UNREADABLE], [MISSING], [], []]


def test_a_typed_page_with_a_null_keeps_the_other_times() -> None:
    array = pa.array([_utc(2024, 1, 2), None, _utc(2024, 1, 3)], pa.timestamp("us", "UTC"))
    found = rows_of(part({"t": array}, updated_at="t"))
    assert [one["source_updated_at"] for one in found] == [_utc(2024, 1, 2), None, _utc(2024, 1, 3)]
    assert [one.codes for one in found] == [[], [MISSING], []]


def test_a_branch_without_a_time_column_has_no_times_and_says_nothing() -> None:
    found = row({"t": "2024-01-02"})
    assert (found["source_updated_at"], found.codes) == (None, [])


def test_the_time_is_utc_microseconds_and_out_of_the_attributes() -> None:
    made = part({"t": ["2024-01-02"]}, updated_at="t")
    assert made.items.schema.field("source_updated_at").type == pa.timestamp("us", "UTC")
    assert rows_of(made)[0].attributes == {}


def test_an_issue_of_a_cut_time_tells_both() -> None:
    verdict = read_time("2024-01-02T03:04:05.1234567Z", ZoneInfo("UTC"))
    assert verdict.notes == (
        '{"code":"time_truncated","field":"source_updated_at","from":"2024-01-02T03:04:05.1234567Z",'
        '"to":"2024-01-02T03:04:05.123456+00:00"}',
    )


def test_an_empty_column_of_times_is_empty() -> None:
    assert updated_at(pa.array([], pa.string()), ZoneInfo("UTC")).columns[0].to_pylist() == []


@pytest.mark.parametrize("text", ["01/02/2024", "2.1.2024", "13/02/2024", "1-2-24", "01/02/2024 10:00"])
def test_a_day_and_a_month_in_an_order_that_nobody_declared_is_ambiguous(text: str) -> None:
    assert _time(text) == (None, ["source_updated_at: time_ambiguous"])


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        ("%d/%m/%Y", "01/02/2024", _utc(2024, 1, 31, 23)),
        ("%m/%d/%Y", "01/02/2024", _utc(2024, 1, 1, 23)),
        ("%d.%m.%Y %H:%M", "1.7.2024 12:30", _utc(2024, 7, 1, 10, 30)),
        ("%d.%m.%Y %H:%M", " 01.07.2024\u00a012:30 ", _utc(2024, 7, 1, 10, 30)),
        ("%m/%d/%Y %I:%M %p", "07/01/2024 01:30 PM", _utc(2024, 7, 1, 11, 30)),
        ("%d %b %Y %H:%M:%S %z", "02 Jan 2024 03:04:05 +0200", _utc(2024, 1, 2, 1, 4, 5)),
        ("%Y%m%d", "20240102", _utc(2024, 1, 1, 23)),
        ("%Y%m%d", 20240102, _utc(2024, 1, 1, 23)),
        ("%Y-%d-%m", "2024-02-01", _utc(2024, 1, 1, 23)),  # not what ISO would say
        ("%d/%m/%Y", "2024-07-01T12:00:00Z", _utc(2024, 7, 1, 12)),  # nothing else it could be
        ("epoch_s", "1704153600", _utc(2024, 1, 2)),
        ("epoch_s", 1_704_153_600, _utc(2024, 1, 2)),
        ("epoch_s", 1_704_153_600.5, _utc(2024, 1, 2, 0, 0, 0, 500_000)),
        ("epoch_ms", "1704153600001", _utc(2024, 1, 2, 0, 0, 0, 1_000)),
        ("epoch_us", 1_704_153_600_000_001, _utc(2024, 1, 2, 0, 0, 0, 1)),
        ("epoch_s", "-1", _utc(1969, 12, 31, 23, 59, 59)),
        ("epoch_s", "20000000001", _utc(2603, 10, 11, 11, 33, 21)),  # where others change the unit
    ],
)
def test_a_time_is_read_as_its_branch_declares(declared: str, value: object, expected: datetime) -> None:
    assert _time(value, time_format=declared, time_zone="Europe/Berlin") == (expected, [])


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        *(("%d/%m/%Y", text) for text in ("13/13/2024", "30/02/2024", "٠١/٠٢/2024", "01/02/24", "01/02/2024 10:00")),
        *(("%d/%m/%Y %H:%M", text) for text in ("01/02/2024 24:00", "01/02/2024 12:60", "01/02/2024")),
        *(("epoch_s", text) for text in ("1e9", "NaN", "inf", "1_000", "9" * 20, "-99999999999999", "1704153600s")),
    ],
)
def test_a_time_that_is_not_as_declared_ranks_lowest(declared: str, value: str) -> None:
    assert _time(value, time_format=declared) == (None, [UNREADABLE])


def test_a_declared_format_leaves_typed_times_alone() -> None:
    array = pa.array([_utc(2024, 1, 2)], pa.timestamp("us", "UTC"))
    assert _time(array, time_format="%d/%m/%Y") == (_utc(2024, 1, 2), [])


@pytest.mark.parametrize(("declared", "text"), [("epoch_us", "1704153600000001.9"), ("epoch_s", "1704153600.0000019")])
def test_an_epoch_finer_than_a_microsecond_is_cut_and_told(declared: str, text: str) -> None:
    assert _time(text, time_format=declared) == (_utc(2024, 1, 2, 0, 0, 0, 1), [TRUNCATED])
