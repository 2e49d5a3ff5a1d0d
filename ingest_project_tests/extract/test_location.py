import os
from pathlib import Path

import pytest

from ingest_project.errors import SourceMissing, SourceUnreadable
from ingest_project.extract.input_file import InputFile, LocalFile
from ingest_project.extract.location import resolve
from ingest_project.settings import settings
from ingest_project_tests.extract.conftest import MakeSpec


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("id,name\n1,a\n")
    return path


def allow(monkeypatch: pytest.MonkeyPatch, *roots: Path) -> None:
    monkeypatch.setenv("INGEST_ROOTS", ":".join(map(str, roots)))
    settings.cache_clear()


def names(found: tuple[str, list[InputFile]]) -> list[str]:
    return [place.name for place in found[1]]


def test_one_file(tmp_path: Path, spec: MakeSpec) -> None:
    path = touch(tmp_path / "a.csv")
    assert resolve(spec(path)) == ("csv", [LocalFile(path)])


def test_a_folder_gives_its_visible_children_sorted(tmp_path: Path, spec: MakeSpec) -> None:
    for name in ("b.csv", "a.CSV", ".hidden.csv", "README.txt", "deeper/c.csv"):
        touch(tmp_path / name)
    assert names(resolve(spec(tmp_path))) == ["a.CSV", "b.csv"]


def test_a_glob_goes_down_with_two_stars_and_names_each_file_once(tmp_path: Path, spec: MakeSpec) -> None:
    for name in ("b.csv", "x/a.csv", "x/y/c.csv", ".git/d.csv", "x/.e.csv"):
        touch(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    found = resolve(spec(tmp_path / "**" / "**" / "*.csv"))
    assert [os.path.relpath(place.key, tmp_path) for place in found[1]] == ["b.csv", "x/a.csv", "x/y/c.csv"]


def test_brackets_in_the_name_of_a_file_are_no_pattern(tmp_path: Path, spec: MakeSpec) -> None:
    touch(tmp_path / "a1.csv")
    assert names(resolve(spec(touch(tmp_path / "a[1].csv")))) == ["a[1].csv"]


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path, spec: MakeSpec) -> None:
    touch(tmp_path / "a.csv")
    touch(tmp_path / "z\udcfc.csv")
    with pytest.raises(SourceUnreadable, match=r"not UTF-8: .*z\\xfc\.csv"):
        resolve(spec(tmp_path))


def test_home_variables_and_file_urls(tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "a b.csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    for location in ("~/a b.csv", "${DATA_DIR}/a b.csv", f"file://{tmp_path}/a%20b.csv", f"file://localhost{path}"):
        assert resolve(spec(location))[1] == [LocalFile(path)]


def test_an_unset_variable_is_named(spec: MakeSpec) -> None:
    with pytest.raises(SourceMissing, match="environment variable NOT_SET_ANYWHERE, which is not set") as caught:
        resolve(spec("${NOT_SET_ANYWHERE}/a.csv"))
    assert caught.value.where["branch"] == "b"


@pytest.mark.parametrize("location", ["ftp://host/a.csv", "local:///etc/passwd", "file://host/a.csv", "sftp://h/a.csv"])
def test_other_schemes_are_refused(location: str, spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match="not supported by this version"):
        resolve(spec(location))


@pytest.mark.parametrize("end", ["a.csv", "*.csv", "no/such/**"])
def test_nothing_there_names_the_location(end: str, tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceMissing, match="there is nothing at") as caught:
        resolve(spec(tmp_path / end))
    assert caught.value.where["location"] == str(tmp_path / end)


def test_an_empty_folder(tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceMissing, match="no csv or jsonl or parquet file in the folder"):
        resolve(spec(tmp_path))


def test_a_folder_where_a_file_should_be(tmp_path: Path, spec: MakeSpec) -> None:
    (tmp_path / "a.csv").mkdir()
    for location in (tmp_path / "a.csv", tmp_path / "*.csv"):
        with pytest.raises(SourceUnreadable, match="is a folder, not a file"):
            resolve(spec(location))


def test_a_device_is_no_file(spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match="neither a file nor a folder"):
        resolve(spec("/dev/null"))


def test_a_folder_that_may_not_be_read(tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceUnreadable, match="Permission denied"):
        resolve(spec(tmp_path))


def test_mixed_formats_are_refused_unless_one_is_declared(tmp_path: Path, spec: MakeSpec) -> None:
    touch(tmp_path / "a.csv")
    touch(tmp_path / "b.parquet")
    with pytest.raises(SourceUnreadable, match=r"do not agree on one format: a\.csv, b\.parquet"):
        resolve(spec(tmp_path))
    assert names(resolve(spec(tmp_path, format="csv"))) == ["a.csv"]


def test_an_unknown_extension_needs_a_declared_format(tmp_path: Path, spec: MakeSpec) -> None:
    path = touch(tmp_path / "a.data")
    with pytest.raises(SourceUnreadable, match="format"):
        resolve(spec(path))
    assert resolve(spec(path, format="csv")) == ("csv", [LocalFile(path)])


def test_inside_an_allowed_root(tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "in" / "a.csv")
    allow(monkeypatch, tmp_path / "other", tmp_path / "in")
    for location in (path, path.parent, path.parent / "*.csv"):
        assert resolve(spec(location))[1] == [LocalFile(path)]


def test_outside_the_roots_by_any_way(tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = touch(tmp_path / "out" / "a.csv")
    root = tmp_path / "in"
    root.mkdir()
    (root / "link.csv").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    (tmp_path / "in-and-more").mkdir()
    allow(monkeypatch, root)
    ways = [outside, root / ".." / "out" / "a.csv", root / "link.csv", root / "folder", root / "*.csv",
            root / "**" / "a.csv", root / ".." / "*" / "a.csv", tmp_path / "in-and-more" / "a.csv",
            f"file://{root}/../out/a.csv", tmp_path / "nothing" / "*.csv"]  # fmt: skip
    for location in ways:
        with pytest.raises(SourceUnreadable, match="outside the folders that INGEST_ROOTS allows"):
            resolve(spec(location))
