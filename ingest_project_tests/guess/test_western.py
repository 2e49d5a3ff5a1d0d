"""Bytes that are no UTF-8: taken for windows-1252 only where nothing else makes better words of them."""

from pathlib import Path

import pytest

from ingest_project.errors import SourceUnreadable
from ingest_project.guess.inspection import inspect_source
from ingest_project_tests.extract.reading import write_csv

OTHERS = [
    ("windows-1251", "Кофейня «Зерно»", "Аптека"),
    ("koi8-r", "Кофейня Зерно", "Аптека"),
    ("cp866", "Кофейня Зерно", "Аптека"),
    ("iso-8859-5", "Кофейня Зерно", "Аптека"),
    ("windows-1250", "Pekárna Příbram", "Plzeň"),
    ("windows-1250", "Żabka Łódź", "Świętokrzyska"),
    ("windows-1250", "Hódmezővásárhely", "Szűcs Győr"),
    ("windows-1250", "Đorđe", "Čakovec"),
    ("windows-1250", "Łódź i Plzeň", "Győr Szűcs"),  # no language has all of them
    ("iso-8859-2", "Żabka Łódź", "Świętokrzyska"),
    ("cp852", "Łódź", "Plzeň"),
    ("windows-1253", "Φούρνος «Η Αθήνα»", "Πειραιάς"),
    ("windows-1254", "Beyoğlu Öz Şişli", "İstanbul"),
    ("windows-1254", "Beşiktaş Beyoğlu", "Kadıköy"),  # letters of Icelandic, all of them
    ("windows-1255", "בית קפה", "תל אביב"),
    ("windows-1256", "مقهى القاهرة", "القاهرة"),
    ("windows-1257", "Kafejnīca Jūrmala", "Ēka Žagaru"),
    ("cp850", "Café à la crème", "Nîmes"),
    ("mac_roman", "Café à la crème", "Nîmes"),
    ("gb18030", "上海国金中心", "餐厅"),
    ("big5", "旅館許功蓋", "台北"),  # bytes of letters and signs among them
    ("shift_jis", "ソニー予約表", "東京"),
    ("euc_jp", "ソニー予約表", "東京"),
    ("euc_kr", "신토불이", "서울식당"),
]
WESTERN = [
    "Ärger à Öçöé, Ünïöü äöü, Café Müller",
    "Café à la crème, Hôtel Œuvre, Besançon, Nîmes, « là »",
    "São João, Guimarães, Camões, José",
    "Þórsbúð, Ægir, Reykjavík, Ísafjörður",
    "Ærlig Brød, Tromsø, Blåbær, Ålesund",
    "Bäckerei Groß – “gut”, 5 €/m³, Straße",
    "Mª José, 3º B, ¿Qué?, L’Hospitalet, Peñíscola",
    "Forlì, Città, Così, Perché",
    "Škoda, Domažlice",
    "Müller-Straße, Zürich, Genève, Ærø, Málaga, São João, Ñandú, Åre",
    "½ block, 20°C, 25 m²",
    "Joe’s, “The Bar”, 5 €",
]


@pytest.mark.parametrize(("encoding", "name", "other"), OTHERS)
def test_letters_of_other_alphabets_are_not_taken_for_western_ones(
    tmp_path: Path, encoding: str, name: str, other: str
) -> None:
    path = write_csv(tmp_path / "a.csv", f"id,name\n1,{name}\n2,{other}\n".encode(encoding))
    with pytest.raises(
        SourceUnreadable, match=r"not UTF-8 at byte 1.*, line 2.*\n    nor is it windows-1252"
    ) as caught:
        inspect_source(str(path))
    assert f"{name!r} in {encoding}" in caught.value.todo
    assert inspect_source(str(path), {"encoding": encoding}).samples["name"] == [name, other]


@pytest.mark.parametrize(
    "data",
    [
        "ร้านอาหาร สวนสัตว์ เชียงใหม่".encode("cp874"),
        "größe für müde\n2,Über".encode() + b"\xff",
        "Ünsal\n2,größe".encode()[:-2],
    ],
)
def test_bytes_of_which_no_encoding_makes_words_are_not_western_for_want_of_a_better_one(
    tmp_path: Path, data: bytes
) -> None:
    path = write_csv(tmp_path / "a.csv", b"id,name\n1," + data + b"\n")
    with pytest.raises(SourceUnreadable, match="nor is it windows-1252"):
        inspect_source(str(path))


@pytest.mark.parametrize("names", WESTERN)
def test_western_letters_are_western(tmp_path: Path, names: str) -> None:
    rows = "\n".join(f"{at},{name}" for at, name in enumerate(names.split(", ")))
    seen = inspect_source(str(write_csv(tmp_path / "a.csv", f"id,name\n{rows}\n".encode("cp1252"))))
    assert (seen.settings, seen.samples["name"]) == ({"encoding": "windows-1252"}, names.split(", "))


def test_words_behind_the_first_rows_are_looked_at(tmp_path: Path) -> None:
    rows = "".join(f"{at},Plzen\n" for at in range(3000))
    path = write_csv(tmp_path / "a.csv", f"id,name\n{rows}3000,Příbram\n".encode("cp1250"))
    with pytest.raises(SourceUnreadable, match=r"line 3,002.*\n    nor is it windows-1252") as caught:
        inspect_source(str(path))
    assert "'Příbram' in windows-1250" in caught.value.todo


def test_the_file_that_is_no_utf8_is_the_one_that_is_looked_at(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", "id,name\n1,Plzeň\n")
    write_csv(tmp_path / "b.csv", "id,name\n1,Příbram\n".encode("cp1250"))
    with pytest.raises(SourceUnreadable, match="nor is it windows-1252") as caught:
        inspect_source(f"{tmp_path}/*.csv")
    assert caught.value.where["file"] == str(tmp_path / "b.csv")
