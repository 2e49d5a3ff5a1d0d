"""JSON documents: where each row begins and ends, whatever stands around it and however the file is cut in blocks."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SourceEmpty, SourceUnreadable
from ingest_project.extract import json_document
from ingest_project.extract.source import MALFORMED
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of

A, B = {"id": "1", "name": "a"}, {"id": "2", "name": 'b, ] } " { [ \\ é'}
TWO = json.dumps([A, B])


@pytest.fixture
def read(tmp_path: Path, spec: MakeSpec):  # noqa: ANN201 - a function
    def rows(text: str, **more: Any) -> list[dict[str, object]]:
        path = tmp_path / "a.json"
        path.write_text(text, encoding="utf-8")
        return rows_of(spec(path, **more))

    return rows


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        f"\ufeff \n{TWO}\n\n",
        json.dumps([A, B], indent=2),
        json.dumps({"status": "OK", "html": [], "results": [A, B], "next": None}),
        json.dumps({"results": [A, B], "types": ["a", "b"], "bounds": {"ne": [1, 2]}}, indent="\t"),
        json.dumps({"meta": {"x": [1, [2]]}, "response": {"count": 2, "venues": [A, B]}}),
        f"{json.dumps(A)}\n{json.dumps(B)}\n",
        f"{json.dumps(A, indent=2)}\n{json.dumps(B, indent=2)}",
        f"{json.dumps(A)} {json.dumps(B)}",
    ],
)
def test_the_rows_of_a_document(text: str, read) -> None:  # noqa: ANN001
    assert read(text) == [A, B]


def test_geojson(read) -> None:  # noqa: ANN001
    feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [9.99, 48.4]}, "properties": {"n": "x"}}
    text = json.dumps({"type": "FeatureCollection", "features": [{**feature, "id": 1}], "bbox": [1, 2, 3, 4]})
    named = {"name": "properties.n", "latitude": "geometry.coordinates.1", "longitude": "geometry.coordinates.0"}
    row = read(text, nested="flatten", mapping=named)[0]
    assert [row[column] for column in ("id", *named.values())] == ["1", "x", "48.4", "9.99"]


def test_what_is_no_object_is_malformed_in_its_place(read) -> None:  # noqa: ANN001
    text = f'[{json.dumps(A)}, 7, null, [1, {{"a": "b"}}], {{"id": 1, "id": 2}}, {{"name": NaN}}, {json.dumps(B)}]'
    found = read(text)
    assert (found[0], found[-1]) == (A, B)
    assert [row.get(MALFORMED) for row in found[1:-1]] == [
        *("7", "null", '[1, {"a": "b"}]', '{"id": 1, "id": 2}', '{"name": NaN}')
    ]


def test_what_stands_between_objects_is_not_skipped(read) -> None:  # noqa: ANN001
    one, other = json.dumps(A, indent=1), json.dumps(B, indent=1)
    assert read(f"{one} {other} not json {one} end") == [A, B, {MALFORMED: f"not json {one}"}, {MALFORMED: "end"}]


def test_of_lines_one_that_is_broken_is_one_reject(read) -> None:  # noqa: ANN001
    assert read(f'{json.dumps(A)}\n{json.dumps(B)}\n{{"id": [\n{json.dumps(A)}') == [A, B, {MALFORMED: '{"id": ['}, A]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TWO[:-1], "ends in the middle, behind row 1"),
        (TWO[:-9], "ends in the middle, behind row 1"),
        (json.dumps({"results": [A, B]})[:-1], "ends in the middle, behind row 2"),
        ('[{"id": 1]}]', "brackets of the JSON document do not match"),
        (f"{TWO} x", "goes on behind its end, behind row 2"),
        (f'{{"results": [{json.dumps(A)}], "more": [{json.dumps(B)}]}}', "has rows in 'results' and in 'more'"),
    ],
)
def test_a_document_that_is_not_whole_is_refused(text: str, words: str, read) -> None:  # noqa: ANN001
    with pytest.raises(SourceUnreadable, match=words) as caught:
        read(text)
    assert "a.json" in str(caught.value)


@pytest.mark.parametrize("text", ["[]", " ", "{}", '{"results": [], "n": 0}', '{"results": [ \n ]}'])
def test_a_document_without_rows_is_empty(text: str, read) -> None:  # noqa: ANN001
    with pytest.raises(SourceEmpty):
        read(text)


@pytest.mark.parametrize(
    "document", [A, {"a": A, "b": B}, {**A, "tags": ["x", [1]], "sizes": [1]}, {"a": {"b": {"c": 1}}}]
)
def test_an_object_alone_is_no_array_of_rows(document: Any, read) -> None:  # noqa: ANN001
    for indent in (None, 2):
        with pytest.raises(SourceUnreadable, match="is one object, without an array of rows") as caught:
            read(json.dumps(document, indent=indent))
        assert "jq '[.]' FILE" in caught.value.todo
        assert "jq '[.[]]' FILE" in caught.value.todo


@pytest.mark.parametrize(("text", "hint"), [("[[1, 2], [3, 4]]", True), ("[1, 2]", False)])
def test_rows_that_are_no_objects_are_told_as_those_of_a_document(text: str, hint: bool, read) -> None:  # noqa: ANN001
    with pytest.raises(SourceUnreadable, match="as json: its rows are no JSON objects") as caught:
        read(text)
    assert "format: json" not in caught.value.todo
    assert ("jq 'map({id: .[0]" in caught.value.todo) == hint


def test_what_is_beside_the_rows_is_named(read, caplog: pytest.LogCaptureFixture) -> None:  # noqa: ANN001
    with caplog.at_level("INFO"):
        read(json.dumps({"version": 0.6, "elements": [A], "osm3s": {"t": 1}}))
    assert caplog.text.count("rows are in 'elements'; not read: version, osm3s") == 1


def test_a_row_without_an_end_is_refused(read, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN001
    for name, value in (("BLOCK", 64), ("MAX_LINE_BYTES", 100)):
        monkeypatch.setattr(json_document, name, value)
    with pytest.raises(SourceUnreadable, match="a row is longer than"):
        read(f'[{{"id": "1", "name": "{"x" * 2000}')


TEXTS = st.text(st.sampled_from('ab"\\{}[],: \né🛬'), max_size=6)
SPEC = {"name": "b", "source": "s", "key": "id", "mapping": {"name": "name"}}
ROWS = st.lists(st.fixed_dictionaries({"id": TEXTS, "name": TEXTS}), min_size=1, max_size=5)


@given(ROWS, st.integers(1, 40), st.sampled_from([None, 2]), st.sampled_from(["[]", "results", "rows"]))
def test_blocks_may_end_anywhere(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], block: int, indent: int | None, shape: str
) -> None:
    folder = tmp_path_factory.mktemp("json")
    document: Any = {"name": "{", "results": rows, "more": ["]"]} if shape == "results" else rows
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if shape == "rows" and len(rows) > 1:
        text = "\n".join(json.dumps(row, indent=indent) for row in rows)
    (folder / "a.json").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_document, "BLOCK", max(block, len(text.encode()) if shape == "rows" else block))
        found = rows_of(BranchSpec.model_validate({**SPEC, "location": str(folder / "a.json")}))
    assert found == rows


def test_reading_goes_on_after_a_cursor(tmp_path: Path, spec: MakeSpec) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"id": str(at), "name": "x"} for at in range(7)]), encoding="utf-8")
    made = spec(path)
    pages = pages_of(made, 3)
    assert [page.table["id"].to_pylist() for page in pages] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    after = pages_of(made, 3, pages[0].cursor)
    assert [page.table["__row"].to_pylist() for page in after] == [[4, 5, 6], [7]]
