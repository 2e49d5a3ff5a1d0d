"""Branch files on disk: YAML as people write it, and where a relative location leads."""

from pathlib import Path

import pytest
import yaml

from ingest_project.branches.spec import load_spec
from ingest_project.errors import SpecInvalid

TEXT = """
name: b
source: s
location: {location}
key: id
mapping: {{name: title}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a branch.yaml"


@pytest.mark.parametrize(
    ("location", "read"),
    [
        ("x.csv", "{folder}/x.csv"),
        ("./x.csv", "{folder}/./x.csv"),
        ("../other/*.csv", "{folder}/../other/*.csv"),
        ("/data/x.csv", "/data/x.csv"),
        ("~/x.csv", "~/x.csv"),
        ("${DATA}/x.csv", "${DATA}/x.csv"),
        ("s3://bucket/x.csv", "s3://bucket/x.csv"),
        ("file:///x.csv", "file:///x.csv"),
    ],
)
def test_a_relative_location_is_relative_to_its_file(
    file: Path, location: str, read: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file.write_text(TEXT.format(location=location))
    found = load_spec(file).location
    assert Path(found) == Path(read.replace("{folder}", str(file.parent)))
    monkeypatch.chdir(file.parent)
    assert load_spec(Path(file.name)).location == found
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_spec(file).location == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "must be a mapping"),
        (b"# only a comment\n", "must be a mapping"),
        (b"- a\n- list\n", "must be a mapping"),
        (b"just words", "must be a mapping"),
        (b"name: \xff\xfe\n", "not a YAML file"),
        ("name: b".encode("utf-16"), "not a YAML file"),
        (b"name: [unclosed\n", "not a YAML file"),
        (b"\tname: b\n", "not a YAML file"),
        (b"name: a\0b\n", "not a YAML file"),
        (b"name: 2024-99-99\n", "not a YAML file"),
        (b"[" * 5000, "not a YAML file"),
        (b"? [a]\n: b\n", "not a YAML file"),
        (b"name: !!python/object/apply:os.system ['true']\n", "not a YAML file"),
        (b"name: a\nsource: s\nname: b\n", "name is given twice"),
        (TEXT.format(location="x").replace("{name: title}", "{name: a, category: c, name: b}").encode(), "given twice"),
        (b"name: b\n---\nname: c\n", "not a YAML file"),
    ],
)
def test_a_file_that_is_no_branch_is_refused_by_its_name(file: Path, content: bytes, why: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SpecInvalid) as caught:
        load_spec(file)
    assert why in caught.value.what
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_said(file: Path) -> None:
    with pytest.raises(SpecInvalid, match="No such file"):
        load_spec(file)
    with pytest.raises(SpecInvalid, match="Is a directory"):
        load_spec(file.parent)


def test_a_mistake_names_the_file_it_is_in(file: Path) -> None:
    file.write_text(TEXT.format(location="x.csv") + "country: NO\n")  # which YAML 1.1 reads as false
    with pytest.raises(SpecInvalid) as caught:
        load_spec(file)
    assert "country: Input should be a valid string" in caught.value.what
    assert caught.value.where == {"file": str(file)}


def test_anchors_and_comments_are_yaml_too(file: Path) -> None:
    file.write_text("common: &c {a: 1}\n")
    assert yaml.safe_load(file.read_text())
    file.write_text(TEXT.format(location="x.csv  # here") + "limits: &l {max_age: 36:00:00}\n")
    assert load_spec(file).limits.max_age
