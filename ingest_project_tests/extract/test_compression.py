import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from ingest_project.errors import SourceEmpty, SourceMissing, SourceMoved, SourceUnreadable
from ingest_project.extract import compression, preflight
from ingest_project.extract.source import MALFORMED
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of

Pack = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


PACKED = pytest.mark.parametrize(("pack", "end"), [(gzip.compress, ".gz"), (zstd, ".zst")], ids=["gzip", "zstd"])
FORMATS = pytest.mark.parametrize("format_", ["csv", "jsonl"])
SHUFFLED = [hashlib.sha256(str(at).encode()).hexdigest() for at in range(50_000)]


def text_of(format_: str, rows: range) -> bytes:
    if format_ == "csv":
        return b"id,name\n" + "".join(f"{at},{SHUFFLED[at]}\n" for at in rows).encode()
    return "".join(f'{{"id": {at}, "name": "{SHUFFLED[at]}"}}\n' for at in rows).encode()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@PACKED
@FORMATS
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_a_packed_file_reads_as_the_plain_one(
    case: Callable[[str], str], format_: str, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec
) -> None:
    data = text_of(format_, range(50_000))
    plain = pages_of(spec(write(tmp_path / f"a.{format_}", data)), 20_000)
    path = write(tmp_path / case(f"a.{format_}{end}"), pack(data))
    packed = pages_of(spec(path), 20_000)
    assert [page.table for page in packed] == [page.table for page in plain]
    assert [page.cursor for page in packed] == [page.cursor for page in plain]
    assert sum(page.bytes_read for page in packed) == path.stat().st_size


@PACKED
@FORMATS
def test_resume_goes_on_in_the_middle(format_: str, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec) -> None:
    branch = spec(write(tmp_path / f"a.{format_}{end}", pack(text_of(format_, range(50_000)))))
    pages = pages_of(branch, 15_000)
    assert [page.table for page in pages_of(branch, 15_000, pages[1].cursor)] == [page.table for page in pages[2:]]


@PACKED
@FORMATS
def test_members_one_after_the_other_are_read_whole(
    format_: str, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec
) -> None:
    data = text_of(format_, range(1000))
    cuts = [data[:7777], b"", data[7777:7778], data[7778:]]
    path = write(tmp_path / f"a.{format_}{end}", b"".join(map(pack, cuts)))
    assert len(rows_of(spec(path))) == 1000


@PACKED
@FORMATS
@pytest.mark.parametrize("cut", [1, 4, 9, 5000])
def test_a_file_that_is_cut_off_is_refused_not_half_loaded(
    cut: int, format_: str, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec
) -> None:
    path = write(tmp_path / f"a.{format_}{end}", pack(text_of(format_, range(50_000)))[:-cut])
    source, pin = preflight.check(spec(path))
    with pytest.raises(SourceUnreadable, match=r"cut off: its (gzip|zstandard) data end in the middle") as caught:
        list(source.pages(pin, 1000, None))
    assert caught.value.where == {"branch": "b", "file": str(path)}


@PACKED
def test_a_second_member_that_is_cut_off_is_refused(pack: Pack, end: str, tmp_path: Path, spec: MakeSpec) -> None:
    one, two = pack(b"id,name\n1,a\n"), pack(b"2,b\n")
    for length in range(1, len(two)):
        with pytest.raises(SourceUnreadable, match=r"cut off|cannot be unpacked"):
            rows_of(spec(write(tmp_path / f"a.csv{end}", one + two[:length])))


@FORMATS
@pytest.mark.parametrize("at", [0.1, 0.5, 0.99])
def test_damaged_bytes_are_refused(at: float, format_: str, tmp_path: Path, spec: MakeSpec) -> None:
    data = bytearray(gzip.compress(text_of(format_, range(50_000))))
    data[int(len(data) * at)] ^= 255
    with pytest.raises(SourceUnreadable):
        rows_of(spec(write(tmp_path / f"a.{format_}.gz", data)))


def test_a_wrong_checksum_is_refused(tmp_path: Path, spec: MakeSpec) -> None:
    data = bytearray(gzip.compress(b"id,name\n1,a\n", mtime=0))
    data[-8] ^= 1
    with pytest.raises(SourceUnreadable, match="cannot be unpacked as gzip: CRC check failed"):
        rows_of(spec(write(tmp_path / "a.csv.gz", data)))


@PACKED
def test_what_is_not_packed_though_its_name_says_so(pack: Pack, end: str, tmp_path: Path, spec: MakeSpec) -> None:
    with pytest.raises(SourceUnreadable, match="cannot be unpacked as"):
        preflight.check(spec(write(tmp_path / f"a.csv{end}", b"id,name\n1,a\n")))


@PACKED
@pytest.mark.parametrize("behind", [b"id,name\n", b"\xff" * 40])
def test_other_bytes_behind_the_packed_ones_are_refused(
    behind: bytes, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec
) -> None:
    with pytest.raises(SourceUnreadable, match=r"cannot be unpacked|cut off"):
        rows_of(spec(write(tmp_path / f"a.csv{end}", pack(b"id,name\n1,a\n") + behind)))


class TestBombs:
    @PACKED
    @FORMATS
    def test_a_small_file_that_unpacks_without_end_is_refused(
        self,
        format_: str,
        pack: Pack,
        end: str,
        tmp_path: Path,
        spec: MakeSpec,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(compression, "_MIN_BOMB_BYTES", 8 << 20)
        rows = b"1,a\n" * 10_000_000 if format_ == "csv" else b'{"id":1,"name":"a"}\n' * 2_000_000
        path = write(tmp_path / f"a.{format_}{end}", pack(b"id,name\n" * (format_ == "csv") + rows))
        assert path.stat().st_size < 200_000
        source, pin = preflight.check(spec(path))
        with pytest.raises(SourceUnreadable, match=r"more than 250 times its size: it looks like a .* bomb"):
            for _ in source.pages(pin, 500_000, None):
                pass

    @PACKED
    def test_one_endless_row_is_refused_before_it_is_held(
        self, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec
    ) -> None:
        path = write(tmp_path / f"a.csv{end}", pack(b"id,name\n1,a\n" + b"x" * (30 << 20)))
        with pytest.raises(SourceUnreadable, match="a row is longer than 2 MB"):
            rows_of(spec(path))

    @PACKED
    def test_a_small_file_may_pack_well(
        self, pack: Pack, end: str, tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = 400_000
        path = write(tmp_path / f"a.csv{end}", pack(b"id,name\n" + b"1,a\n" * rows))
        assert len(table_of(pages_of(spec(path), 100_000))) == rows
        monkeypatch.setattr(compression, "_MIN_BOMB_BYTES", 1 << 20)
        with pytest.raises(SourceUnreadable, match="bomb"):
            pages_of(spec(path), 100_000)

    def test_a_great_file_that_packs_as_text_does_is_no_bomb(
        self, tmp_path: Path, spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compression, "_MIN_BOMB_BYTES", 1)
        path = write(tmp_path / "a.csv.gz", gzip.compress(text_of("csv", range(1000))))
        assert len(rows_of(spec(path))) == 1000


@PACKED
def test_the_pin_is_of_the_packed_file_and_counts_rows_about(
    pack: Pack, end: str, tmp_path: Path, spec: MakeSpec
) -> None:
    data = pack(text_of("csv", range(50_000)))
    path = write(tmp_path / f"a.csv{end}", data)
    source, pin = preflight.check(spec(path))
    assert (pin.files[0].size, pin.files[0].modified_ns) == (len(data), path.stat().st_mtime_ns)
    assert pin.estimated_rows == pytest.approx(50_000, rel=0.15)
    assert source.seal(pin).files[0].sha256 == hashlib.sha256(data).hexdigest()
    write(path, data + pack(b"9,z\n"))
    with pytest.raises(SourceMoved):
        next(source.pages(pin, 10, None))


@PACKED
def test_nothing_in_a_packed_file(pack: Pack, end: str, tmp_path: Path, spec: MakeSpec) -> None:
    branch = spec(write(tmp_path / f"a.csv{end}", pack(b"id,name\n")))
    with pytest.raises(SourceEmpty, match="has columns, and no rows"):
        preflight.check(branch)
    write(tmp_path / f"a.csv{end}", pack(b""))
    with pytest.raises(SourceUnreadable, match="no header line"):
        preflight.check(branch)


@PACKED
def test_a_row_may_be_longer_than_its_packed_file(pack: Pack, end: str, tmp_path: Path, spec: MakeSpec) -> None:
    path = write(tmp_path / f"a.csv{end}", pack(b"id,name\n1,a\n2," + b"x" * 1_000_000))
    assert path.stat().st_size < 10_000
    assert rows_of(spec(path))[1] == {"id": "2", "name": "x" * 1_000_000}


def test_plain_and_packed_files_of_a_folder_are_one_source(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.csv", b"id,name\n1,a\n")
    write(tmp_path / "b.csv.gz", gzip.compress(b"id,name\n2,b\nbad\n", mtime=0))
    write(tmp_path / "c.csv.zst", zstd(b"name,id\nc,3\n"))
    write(tmp_path / "d.txt.gz", b"")
    found = [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {MALFORMED: "bad"}, {"id": "3", "name": "c"}]
    assert rows_of(spec(tmp_path)) == found


def test_a_declared_format_goes_by_the_last_extension_only(tmp_path: Path, spec: MakeSpec) -> None:
    path = write(tmp_path / "export.gz", gzip.compress(b"id,name\n1,a\n", mtime=0))
    with pytest.raises(SourceUnreadable, match="do not agree on one format"):
        preflight.check(spec(path))
    assert rows_of(spec(path, format="csv")) == [{"id": "1", "name": "a"}]


def test_parquet_packs_itself_and_is_not_looked_for_in_gzip(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.parquet.gz", gzip.compress(b"PAR1", mtime=0))
    with pytest.raises(SourceMissing):
        preflight.check(spec(tmp_path))


def test_bytes_that_are_no_utf_8_are_placed_in_the_text(tmp_path: Path, spec: MakeSpec) -> None:
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"id,name\n1,a\n2,caf\xe9\n", mtime=0))
    with pytest.raises(SourceUnreadable, match="not UTF-8 at byte 17, line 3"):
        rows_of(spec(path))
