import json
import logging
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceEmpty, SourceUnreadable
from ingest_project.extract import jsonl as ours
from ingest_project.extract import preflight
from ingest_project.extract.source import MALFORMED, MORE, Cursor
from ingest_project.guess.inspection import Inspection, inspect_source
from ingest_project.normalize.part import normalize_part
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of

GOOD = '{"id": "1", "name": "a"}'
ROW_OF_GOOD = {"id": "1", "name": "a"}


@pytest.fixture
def read(tmp_path: Path, spec: MakeSpec):  # noqa: ANN201 - a function
    def rows(text: str | bytes, size: int = 1000, **more: Any) -> list[dict[str, object]]:
        path = tmp_path / "a.jsonl"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return rows_of(spec(path, **more), size)

    return rows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"007"', "007"),
        ('"NA"', "NA"),
        ('"null"', "null"),
        ('""', ""),
        ('" x "', " x "),
        ("9007199254740993", "9007199254740993"),
        ("9" * 5000, "9" * 5000),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1E400", "1E400"),
        ("1e999", "1e999"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("true", "true"),
        ("false", "false"),
        ("{}", "{}"),
        ("[]", "[]"),
        ('[1.10, 9007199254740993, "5", 5, null, true, false]', '[1.10,9007199254740993,"5",5,null,true,false]'),
        ('{"b": {"é": "\\u00e9\\n\\"", "a": [{}]}}', '{"b":{"é":"é\\n\\"","a":[{}]}}'),
        ('"\\ud83d\\udeec"', "🛬"),
        ('"a\\u0000b"', "a\0b"),
        ('["a\\u0000b"]', '["a\\u0000b"]'),
        ('"{[\\\\u"', "{[\\u"),
        ('"a\u2028b\u0085c"', "a\u2028b\u0085c"),
    ],
)
def test_a_value_stays_as_it_is_spelled(value: str, text: str, read) -> None:  # noqa: ANN001
    assert read(f'{{"id": 1, "name": {value}}}\n') == [{"id": "1", "name": text}]


@pytest.mark.parametrize("beside", ["", ', "x": {"a": [1.0]}'])
def test_a_key_is_the_same_number_however_it_is_written(beside: str, read) -> None:  # noqa: ANN001
    written = ["7", '"7"', "7.0", "7.00", '"7.0"', "7.5", "7e0", "true", "null"]
    rows = read("".join(f'{{"id": {one}, "name": 7.0{beside}}}\n' for one in written))
    assert [row.get("id") for row in rows] == ["7", "7", "7", "7", "7.0", "7.5", "7e0", "true", None]
    assert {row["name"] for row in rows} == {"7.0"}


def test_null_and_absent_are_null(read) -> None:  # noqa: ANN001
    assert read('{"id": 1, "name": null}\n{"name": "b"}\n{}\n') == [{"id": "1"}, {"name": "b"}, {}]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\ufeff{GOOD}\r\n",
        f"\n \t\r\n{GOOD}\n\n",
        f"  {GOOD} \t\r\n",
        '{"id":"1","name":"a"}',
    ],
)
def test_what_does_not_matter(text: str, read) -> None:  # noqa: ANN001
    assert read(text) == [ROW_OF_GOOD]


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "2", "name": "b", "id": "3"}',
        '{"id": "2", "name": {"a": 1, "a": 1}}',
        '{"id": "2", "name": NaN}',
        '{"id": "2", "name": [-Infinity]}',
        '{"id": "2", "name": "\\ud800"}',
        '{"id": "2", "name": ["\\udc00\\ud800"]}',
        '{"id": "2", "name": "b", "\\ud800": 1}',
        '{"id": "2", "name": "a\tb"}',
        '{"id": "2", "name": "a\0b"}',
        '{"id": "2", "name": 007}',
        '{"id": "2", "name": +1}',
        "{'id': '2'}",
        '{"id": "2"',
        '{"id": "2"}}',
        '{"id": "2"},',
        '{"id": "2"} {"id": "3"}',
        '["2", "b"]',
        '"text"',
        "null",
        "17",
        "id,name",
        "\ufeff{}",
        "[" * 100_000,
        '{"id": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000,
        '{"id": ' + "[" * 101 + "]" * 101 + "}",
        '{"late key": ' + '{"a":' * 101 + "1" + "}" * 102,
    ],
    ids=lambda line: line[:30],
)
def test_a_line_that_leaves_doubt_is_malformed_in_its_place(line: str, read) -> None:  # noqa: ANN001
    assert read(f"{GOOD}\n{line}\n{GOOD}\n", 2) == [ROW_OF_GOOD, {MALFORMED: line}, ROW_OF_GOOD]


def test_nesting_is_kept_to_a_fixed_depth(read) -> None:  # noqa: ANN001
    deep = "[" * 99 + "]" * 99
    for name in ("a", "\\u00e9"):
        kept, deeper = f'{{"id": {deep}, "name": "{name}"}}', f'{{"id": [{deep}], "name": "{name}"}}'
        first, second = read(f"{kept}\n{deeper}")
        assert (first["id"], second) == (deep, {MALFORMED: deeper})


def test_a_line_longer_than_the_cap_is_malformed_and_its_beginning_kept(read) -> None:  # noqa: ANN001
    fits = "x" * (ours.MAX_LINE_BYTES - len('{"name":""}'))
    for long in (f'{{"name":"{fits}y"}}', f'{{"name":"{fits * 3}"}}', f'{{"name":"{fits}"}}   ', "[" * 5_000_000):
        found = read(f'{{"name":"{fits}"}}\n{GOOD}\n{long}\n{GOOD}')
        assert found == [{"name": fits}, ROW_OF_GOOD, {MALFORMED: long[: ours._KEPT_BYTES]}, ROW_OF_GOOD]


def test_a_long_line_of_blanks_does_not_hide_what_follows(read) -> None:  # noqa: ANN001
    blanks = " " * (3 * ours.MAX_LINE_BYTES)
    assert read(f"{GOOD}\n{blanks}{GOOD}\n{blanks}\n{blanks}{GOOD}") == [ROW_OF_GOOD] * 3
    assert list(read(f"{GOOD}\n{GOOD}{blanks}{GOOD}\n")[1]) == [MALFORMED]


class TestColumns:
    def test_the_first_megabyte_of_every_file_counts(self, tmp_path: Path, spec: MakeSpec) -> None:
        (tmp_path / "a.jsonl").write_text('{"name": "a", "id": 1}\n{"id": 2, "x": 5}\n')
        (tmp_path / "b.ndjson").write_text('{"id": 3, "y": "5"}\n')
        _, pin = preflight.check(spec(tmp_path))
        assert (pin.format, pin.columns) == ("jsonl", ("name", "id", "x", "y", MORE))
        assert rows_of(spec(tmp_path)) == [{"name": "a", "id": "1"}, {"id": "2", "x": "5"}, {"id": "3", "y": "5"}]

    def test_every_page_has_the_same_types(self, tmp_path: Path, spec: MakeSpec) -> None:
        (tmp_path / "a.jsonl").write_text(f'{GOOD}\nbad\n{{"id": 2}}\n')
        names = ["id", "name", MORE]
        expected = pa.schema([*((name, "string") for name in names), ("__row", "int64"), (MALFORMED, "string")])
        assert [page.table.schema for page in pages_of(spec(tmp_path), 1)] == [expected] * 3

    def test_a_late_key_is_kept_as_json_and_reaches_the_attributes(self, tmp_path: Path, spec: MakeSpec) -> None:
        late = '{"id": "2", "name": "b", "late": 1.10, "also": {"a": ["5", null]}, "none": null}'
        (tmp_path / "a.jsonl").write_text(f"{GOOD}\n" * 50_000 + late)
        page = pages_of(spec(tmp_path), 50_001)[0].table
        assert page.column_names == ["id", "name", MORE, "__row", MALFORMED]
        assert page[MORE].null_count == 50_000
        kept = '{"late":1.10,"also":{"a":["5",null]},"none":null}'
        assert page[MORE][50_000].as_py() == kept
        item = normalize_part(page.slice(50_000), spec(tmp_path)).items.to_pylist()[0]
        assert json.loads(item["attributes"]) == {"late": "1.10", "also": '{"a":["5",null]}'}

    @pytest.mark.parametrize("key", ["__row", MALFORMED, MORE, "a\\u0000b"])
    def test_a_key_that_cannot_be_a_column_is_kept_all_the_same(self, key: str, read) -> None:  # noqa: ANN001
        assert read(f'{{"id": "1", "name": "a", "{key}": 5}}') == [{**ROW_OF_GOOD, MORE: f'{{"{key}":5}}'}]

    def test_keys_that_are_data_do_not_become_columns_without_end(self, read) -> None:  # noqa: ANN001
        lines = "\n".join(f'{{"k{at}": {at}}}' for at in range(5000))
        found = read(f'{lines}\n{{"id": 1, "name": "a"}}')
        assert found[-1] == ROW_OF_GOOD
        assert found[ours._MAX_COLUMNS] == {MORE: f'{{"k{ours._MAX_COLUMNS}":{ours._MAX_COLUMNS}}}'}

    def test_a_declared_column_may_come_late_and_is_told(
        self, tmp_path: Path, spec: MakeSpec, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "a.jsonl").write_text(f"{GOOD}\n" * 50_000 + '{"id": 2, "name": "b", "tel": 5}')
        declaring = spec(tmp_path, mapping={"name": "name", "phone": "tel"})
        with caplog.at_level(logging.WARNING, "ingest_project"):
            assert table_of(pages_of(declaring))["tel"][50_000].as_py() == "5"
        assert "has no 'tel'" in caplog.text

    @pytest.mark.parametrize("changed", [{"key": "Id"}, {"mapping": {"name": "Name"}}])
    def test_what_no_item_can_do_without_must_be_in_the_first_megabyte(
        self, changed: dict[str, Any], tmp_path: Path, spec: MakeSpec, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "a.jsonl").write_text(GOOD)
        with pytest.raises(ColumnsMissing, match="did you mean") as caught:
            preflight.check(spec(tmp_path, **changed))
        assert MORE not in caught.value.what
        assert "rows without" not in caplog.text

    def test_a_name_with_a_default_may_be_missing(self, tmp_path: Path, spec: MakeSpec) -> None:
        (tmp_path / "a.jsonl").write_text('{"id": 1}')
        named = spec(tmp_path, mapping={"name": {"column": "name", "default": "unnamed"}})
        assert rows_of(named) == [{"id": "1"}]


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "todo"),
        [
            ('[{"id": 1},\n {"id": 2}]', "format: json"),
            ('{\n  "id": 1\n}\n', "format: json"),
            ("id,name\n1,a\n", "Mend"),
        ],
    )
    def test_another_format_says_how_to_get_there(self, text: str, todo: str, tmp_path: Path, spec: MakeSpec) -> None:
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(SourceUnreadable, match="its first line is no JSON object") as caught:
            preflight.check(spec(tmp_path))
        assert todo in caught.value.todo
        assert caught.value.where == {"branch": "b", "file": str(tmp_path / "a.jsonl")}

    @pytest.mark.parametrize("text", ["\n", " \r\n\t\n", "\ufeff"])
    def test_blank_lines_alone_are_empty(self, text: str, tmp_path: Path, spec: MakeSpec) -> None:
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(SourceEmpty, match=r"has no rows: a\.jsonl"):
            preflight.check(spec(tmp_path))

    def test_what_is_not_utf_8_names_byte_and_line(self, tmp_path: Path, spec: MakeSpec) -> None:
        (tmp_path / "a.jsonl").write_bytes(f"{GOOD}\n".encode() + b'{"id": "\xe9"}')
        with pytest.raises(SourceUnreadable, match="not UTF-8 at byte 33, line 2: 0xe9"):
            preflight.check(spec(tmp_path))


@pytest.mark.parametrize(
    ("value", "locale", "price"),
    [("1.234", "de", "1.2340"), ('"1.234"', "de", "1234.0000"), ('"1,5"', "de", "1.5000"), ("1.5", "en", "1.5000")],
)
def test_a_json_number_has_a_point_in_every_locale(
    value: str, locale: str, price: str, tmp_path: Path, spec: MakeSpec
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"id": 1, "name": "a", "eur": {value}, "x": 1.234, "n": {{"eur": 1.5}}}}')
    mapping = {"name": "name", "price": "eur", "currency": {"constant": "EUR"}}
    branch = spec(path, locale=locale, mapping=mapping)
    page = pages_of(branch)[0].table
    assert (page["x"][0].as_py(), page["n"][0].as_py()) == ("1.234", '{"eur":1.5}')
    assert str(normalize_part(page, branch).items["price"][0].as_py()) == price


def test_rows_are_estimated_by_size(tmp_path: Path, spec: MakeSpec) -> None:
    (tmp_path / "a.jsonl").write_text(f"{GOOD}\n" * 100_000)
    (tmp_path / "b.jsonl").write_text(f"{GOOD}\n" * 100_000)
    _, pin = preflight.check(spec(tmp_path))
    assert pin.estimated_rows == pytest.approx(200_000, rel=0.001)


def test_bytes_are_counted_and_a_resumed_reading_skips_lines_without_parsing(
    tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{GOOD}\n" * 200_000)
    pages = pages_of(spec(path), 150_000)
    assert sum(page.bytes_read for page in pages) == path.stat().st_size
    parsed: list[int] = []
    parse = ours._Parser.parse
    monkeypatch.setattr(ours._Parser, "parse", lambda self, lines: (parsed.append(len(lines)), parse(self, lines))[1])
    assert pages_of(spec(path), 1000, Cursor(0, 199_999, 199_999))[0].table.num_rows == 1
    assert parsed == [1]


def test_flat_rows_are_read_fast_enough(tmp_path: Path, spec: MakeSpec) -> None:
    row = {"id": 1, "name": "Some name", "lat": 1.5, "lon": -2.5, "country": "DE", "active": True, "note": None}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(row)}\n" * 100_000)
    began = time.process_time()
    pages_of(spec(tmp_path), 50_000)
    assert time.process_time() - began < 3  # about 0.7 s on one slow core


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["id", "name", "x", "{", "", "__row"]), JSON), min_size=1, max_size=8)


@example(rows=[{"id": 0.0}, {"id": -7.0, "x": 7.0}, {"id": 1e16}, {"id": [0.0]}], ascii_only=False, size=1)
@given(rows=ROWS, ascii_only=st.booleans(), size=st.integers(1, 4))
def test_nothing_of_a_row_is_lost(
    rows: list[dict[str, Any]], ascii_only: bool, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [{"id": 0, "name": ""}, *rows]
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows))
    spec = BranchSpec(name="b", source="s", location=str(path), key="id", mapping={"name": "name"})
    for row, found in zip(rows, rows_of(spec, size), strict=True):
        assert json.loads(str(found.pop(MORE, "{}"))) == {name: row[name] for name in row if name == "__row"}
        assert found == {name: shown(name, row[name]) for name in row if name != "__row" and row[name] is not None}


def shown(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    whole_key = name == "id" and isinstance(value, float)
    return written.removesuffix(".0") if whole_key else written


def test_a_first_look_shows_columns_of_the_source_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.jsonl").write_text(f"{GOOD}\n")
    both = ("id", "name")
    seen = Inspection(both, {"id": ["1"], "name": ["a"]}, {}, unique=both, filled=both)
    assert inspect_source(str(tmp_path / "a.jsonl")) == seen
    assert caplog.text == ""
