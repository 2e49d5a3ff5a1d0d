import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project import failpoints
from ingest_project.errors import IngestError, PartDamaged
from ingest_project.extract.store import PartStore

TABLE = pa.table({"id": ["1", "2"], "n": [1, None]})


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    return PartStore(str(tmp_path / "parts"))


def test_what_is_put_is_got(store: PartStore, tmp_path: Path) -> None:
    stored = store.put("1/2/branch_snapshot/000000.e7", TABLE)
    assert stored.path == "1/2/branch_snapshot/000000.e7.parquet"
    data = (tmp_path / "parts" / stored.path).read_bytes()
    assert (stored.rows, stored.bytes, stored.digest) == (2, len(data), hashlib.sha256(data).hexdigest())
    assert store.get(stored.path, stored.digest) == TABLE
    assert store.get(stored.path, columns=["n"]) == TABLE.select(["n"])
    assert store.local_path(stored.path) == str(tmp_path / "parts" / stored.path)


def test_equal_tables_give_equal_digests_however_they_are_cut(store: PartStore) -> None:
    cut = pa.concat_tables([TABLE, TABLE]).slice(1, 2).combine_chunks()
    whole = pa.table({"id": ["2", "1"], "n": [None, 1]})
    assert store.put("a", cut).digest == store.put("b", whole).digest


def test_a_part_without_rows(store: PartStore) -> None:
    stored = store.put("a", TABLE.slice(0, 0))
    assert store.get(stored.path, stored.digest).schema == TABLE.schema


def test_a_missing_part(store: PartStore) -> None:
    with pytest.raises(PartDamaged, match="No such file") as caught:
        store.get("1/2/nothing.parquet")
    assert caught.value.where["part"] == "1/2/nothing.parquet"


def test_a_changed_part(store: PartStore, tmp_path: Path) -> None:
    stored = store.put("a", TABLE)
    pq.write_table(TABLE.slice(1), tmp_path / "parts" / stored.path)
    with pytest.raises(PartDamaged, match="not what was written"):
        store.get(stored.path, stored.digest)


def test_a_truncated_part_is_found_without_a_digest(store: PartStore, tmp_path: Path) -> None:
    stored = store.put("a", TABLE)
    os.truncate(tmp_path / "parts" / stored.path, stored.bytes - 3)
    with pytest.raises(PartDamaged, match="cannot be read"):
        store.get(stored.path)


@pytest.mark.parametrize("point", ["part_written_not_renamed", "part_stored"])
def test_dying_at_a_failpoint_leaves_a_whole_part_or_none(point: str, store: PartStore, tmp_path: Path) -> None:
    failpoints.arm(f"{point}!")
    try:
        with pytest.raises(failpoints.FailpointReached):
            store.put("f/a", TABLE)
    finally:
        failpoints.arm("")
    visible = [path.name for path in (tmp_path / "parts" / "f").iterdir() if not path.name.startswith(".")]
    assert visible == (["a.parquet"] if point == "part_stored" else [])
    again = store.put("f/a", TABLE)
    assert store.get(again.path, again.digest) == TABLE


def test_file_and_folders_are_synced_before_and_after_the_rename(
    store: PartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sync, rename = os.fsync, Path.rename

    def note_sync(handle: int) -> None:
        seen.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def note_rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    store.put("f/a", TABLE)
    assert seen == [tmp_path.name, "parts", f".a.parquet.{os.getpid()}", "rename", "f"]


def test_a_full_disk_leaves_no_file_and_says_so(
    store: PartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        if "parquet" in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IngestError, match="could not be stored: No space left on device"):
        store.put("a", TABLE)
    assert list((tmp_path / "parts").iterdir()) == []


def test_other_stores_put_once_and_have_no_local_path() -> None:
    store = PartStore("memory://parts-of-a-test")
    stored = store.put("1/a", TABLE)
    assert store.get(stored.path, stored.digest) == TABLE
    with pytest.raises(PartDamaged):
        store.get("1/b.parquet")
    with pytest.raises(IngestError, match="local store only"):
        store.local_path(stored.path)


def test_a_file_url_is_local(tmp_path: Path) -> None:
    store = PartStore(f"file://{tmp_path}")
    assert store.local_path(store.put("a", TABLE).path) == str(tmp_path / "a.parquet")
