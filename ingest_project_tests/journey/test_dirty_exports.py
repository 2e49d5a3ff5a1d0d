"""Exports with all the usual dirt at once, in versions whose columns change: nothing is lost or changed in silence."""

import csv
import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ingest_project.branches import gates, registry
from ingest_project.branches.spec import parse_spec
from ingest_project.errors import ColumnsMissing, GateBlocked
from ingest_project.postgres.connection import session
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.listings import unexplained
from ingest_project_tests.journey.states import rows

ITEMS = "select i.* from core.items i join ingest.branches b using (branch_id) where b.name = '{name}'"
REJECTS = "select row, errors, raw from ingest.rejects where activation_id = {activation} order by row"
US = """CAMIS,DBA,BUILDING,STREET,CITY,STATE,ZIPCODE,COUNTRY,PHONE,LATITUDE,LONGITUDE,FEE,CURRENCY,SEEN
30075445,MORRIS PARK BAKE SHOP,1007,PARK AVE,New York,NY,10462,US,(718) 892-4968,40.8482,-73.8560,"$1,280.00",USD,1/2/24
30075446,"O'NEILL'S, ""THE"" PUB",N/A,3RD AVE,New York,New York,10017-1234,USA,212.661.3530 x12,40.75,-73.97,0,USD,
30075447,Caf&eacute; Lalo &amp; Co,201,W 83 ST,New York,NY,10024,United States,1-212-496-6031 ext. 4,0,0,$12.50,,2/30/24
30075448,JOE’S PIZZA\u00a0 ,1,MASS AVE,Cambridge,MA,2139,U.S.A.,6173547700,-71.1037,42.3651,n/a,USD,3/5/24
30075449,CafÃ© Luna,2,STATE ST,Boston,MA,021091234,US,617-555-0199 / 617-555-0198,42.3592,-71.0534,-5,USD,N/A
30075450,\u200bUNKNOWN,,,Hartford,CT,6103.0,us,860-555-CAFE,41.76,-72.67,,,x
30075451,Tab\there,x,\u200b,Hartford,ZZ,ABCDE,Untied States,0000000000,91,-200,1e3,USD,CafÃ©
"""
TAIL = "30075452,short row,Bronx\n30075445,Again,,,,,,,,,,,,\nTotal,,,,,,,,,,,,,\nTOTAL: 10 rows\n\n\n"
US_FIELDS = {
    **{"name": "DBA", "house_number": "BUILDING", "street": "STREET", "locality": "CITY", "region_code": "STATE"},
    **{"postal_code": "ZIPCODE", "country_code": "COUNTRY", "phone": "PHONE", "latitude": "LATITUDE"},
    **{"longitude": "LONGITUDE", "price": "FEE", "currency": "CURRENCY"},
}
JAPAN = """店舗ID,店名,都道府県,市区町村,住所,郵便番号,国,電話番号,緯度,経度,価格
００１,寿司　さくら,東京都,千代田区,丸の内１丁目９,〒100-0005,日本,03-3212-2321,35.6812,139.7671,￥１，２００
002,ラーメン二郎,Tokyo,港区,三田2-16-4,108-0073,JP,+81 3-3455-5551,３５.６４８,１３９.７４１,1200
003,ﾊﾝｶｸ食堂,大阪府,大阪市北区,梅田3丁目①,5300001,Japan,+81(0)6-6345-1201,北緯34.70,東経135.49,"1,000円"
004,髙島屋,JP-13,中央区,日本橋2-4-1,103-8265,JPN,０３－３２１１－４１１１,139.773,35.680,
"""
JAPAN_FIELDS = {
    **{"name": "店名", "region_name": "都道府県", "locality": "市区町村", "street": "住所", "postal_code": "郵便番号"},
    **{"country_code": "国", "phone": "電話番号", "latitude": "緯度", "longitude": "経度"},
}
GERMAN = '''Place-ID;Firmenname;Straße;PLZ;Ort;Land;Telefon;Webseite;Breitengrad;Längengrad;Zeiten
ChIJ1;Bäckerei Müller;Hauptstraße 12a;01067;Dresden;Deutschland;+49 351 4961234;www.mueller.de;51,0504;13,7373;"Mo-Fr
Sa"
ChIJ2;"Café ""Zum Löwen""";Am Markt;1067;Dresden;DE;0351 / 49 61 235;https://zum-löwen.de/über;51.051;13,738;
ChIJ3;MÃ¼ller & SÃ¶hne;Ring\u00ad4;10115;Berlin;Germany;(030) 1234567;n/a;13,39;52,53;
'''
GERMAN_FIELDS = {
    **{"name": "Firmenname", "street": "Straße", "postal_code": "PLZ", "locality": "Ort", "country_code": "Land"},
    **{"phone": "Telefon", "website_url": "Webseite", "latitude": "Breitengrad", "longitude": "Längengrad"},
}
RUSSIAN = '''ID;Наименование;Рубрика;Город;Адрес;Индекс;Страна;Телефон;Сайт;Широта;Долгота;Чек
7041;Кофейня «Зерно»;Кофейни;Москва;Тверская ул., д. 5;125009;Россия;8 (495) 123-45-67;зерно.рф;55,7579;37,6113;450 р.
7042;"ООО ""Роза""";;Химки;;141400.0;RU;+7 495 123-45-68, 8 (916) 123-45-69;;55°53' с. ш.;37,4° в.д.;1 200,5 руб.
7043;Аптека № 1;;;;01234;РФ;(495) 123-45-67, доб. 12;нет;30,3150;59,9360;от 500 р.
'''
RUSSIAN_FIELDS = {
    **{"name": "Наименование", "category": "Рубрика", "locality": "Город", "street": "Адрес", "postal_code": "Индекс"},
    **{"country_code": "Страна", "phone": "Телефон", "website_url": "Сайт", "latitude": "Широта"},
    **{"longitude": "Долгота", "price": "Чек"},
}
GAZETTEER = """geonameid\tname\talternatenames\tlatitude\tlongitude\tcountry code\ttelephone\televation
2661861\t"Alte" Brücke\tPont,"Vieux" Pont,"\t46.94\t7.45\tCH\t031 123 45 67/68\t-9999
2661862\t"Quoted"\t\t7.46\t46.95\tCH\t="0311234567"\t541
2661863\t"open\tx\t٤٦٫٩٥\t٧٫٤٦\tCH\t٠٣١ ١٢٣ ٤٥ ٦٧\t
2661864\tnext, "after\t"\t46.95\t\tNA\t031 123 45 67 (9-17)\t5" hoch
"""
GAZETTEER_FIELDS = {
    **{"name": "name", "latitude": "latitude", "longitude": "longitude", "country_code": "country code"},
    **{"phone": "telephone"},
}
ACCOUNTS = '''"Account ID","Account Name","Billing Street","Billing City","Billing Country","Phone","Website",\
"Annual Revenue","Account Currency","Latitude","Longitude","Description"
"0015X","[not provided]","1 Market St
Suite 300","San Francisco","United States","(415) 901-7000
(415) 901-7001","mailto:joe@acme.com","USD 1,234,567.00","USD","37°47'38""N","122°23'42""W","Line one
Line ""two"""
"0015x","[not provided]","[not provided]","[not provided]","[not provided]","[not provided]","[not provided]",\
"[not provided]","[not provided]","[not provided]","[not provided]","[not provided]"
"0015Y","Acme, ""Inc.""","--None--","","Ελλάδα","+30 210 333 3444 / 45","javascript:void(0)",\
"€0.00","EUR","#NAME?","N/D",""
"0015Z","Osteria","#REF!","Roma","Italia","06/1234567-8","www.osteria.it | osteria.it",\
"EUR 12","EUR","41.9 N","12.5 E","x"
'''
ACCOUNTS_FIELDS = {
    **{"name": "Account Name", "street": "Billing Street", "locality": "Billing City", "phone": "Phone"},
    **{"country_code": "Billing Country", "website_url": "Website", "price": "Annual Revenue"},
    **{"currency": "Account Currency", "latitude": "Latitude", "longitude": "Longitude"},
}
EXPORTS: dict[str, tuple[str, str, str, dict[str, str], dict[str, Any]]] = {
    "inspections": (US, "utf-8", "CAMIS", US_FIELDS, {}),
    "shops in Japan": (JAPAN, "cp932", "店舗ID", JAPAN_FIELDS, {"encoding": "shift_jis", "locale": "ja"}),
    "cafés of Russia": (
        RUSSIAN,
        "cp1251",
        "ID",
        RUSSIAN_FIELDS,
        {"delimiter": ";", "encoding": "cp1251", "locale": "ru"},
    ),
    "a gazetteer": (GAZETTEER, "utf-8", "geonameid", GAZETTEER_FIELDS, {"delimiter": "\t", "quoted": False}),
    "accounts": (ACCOUNTS, "utf-8", "Account ID", ACCOUNTS_FIELDS, {}),
    "places, in German": (GERMAN, "utf-8-sig", "Place-ID", GERMAN_FIELDS, {"delimiter": ";", "locale": "de"}),
}


class Branch:
    """One export as a branch, delivered in versions."""

    def __init__(self, folder: Path, export: str) -> None:
        self.text, self.encoding, self.key, self.fields, self.settings = EXPORTS[export]
        self.name, self.file = f"dirty-{uuid4().hex[:8]}", folder / "export.csv"

    def applies(self, **changed: Any) -> None:
        given = {"name": self.name, "source": self.name, "location": str(self.file), "key": self.key}
        with session() as connection:
            spec = {**given, "mapping": self.fields, **self.settings, **changed}
            registry.apply_branch(connection, parse_spec(spec, origin="test"))

    def delivers(self, text: str, tail: str = "") -> None:
        self.file.write_bytes((text + tail).replace("\n", "\r\n").encode(self.encoding))

    def rows(self, text: str) -> list[dict[str, str]]:
        quoting = csv.QUOTE_MINIMAL if self.settings.get("quoted", True) else csv.QUOTE_NONE
        lines = io.StringIO(text.replace("\n", "\r\n"), newline="")
        return list(csv.DictReader(lines, delimiter=self.settings.get("delimiter", ","), quoting=quoting))

    def lost(self, text: str) -> list[str]:
        """What items say neither as their rows do, nor with a code."""
        with session() as connection:
            items = {item["external_id"]: item for item in rows(connection, ITEMS.format(name=self.name))}
        given = self.rows(text)
        spare = [name for name in given[0] if name not in {self.key, *self.fields.values()}]
        comma = self.settings.get("locale") in ("de", "ru")
        return [one for row in given for one in unexplained(row, items[row[self.key]], self.fields, spare, comma=comma)]


@pytest.fixture(params=EXPORTS)
def export(request: pytest.FixtureRequest, database: str, home: Path, tmp_path: Path) -> Branch:
    return Branch(tmp_path, request.param)


def renamed(text: str, was: str, now: str) -> str:
    header, _, body = text.partition("\n")
    assert was in header
    return f"{header.replace(was, now)}\n{body}"


def test_every_value_is_as_it_came_or_says_why_not(export: Branch) -> None:
    export.applies()
    export.delivers(export.text)
    done = ingest(export.name, batch_size=2)
    assert (done.valid, done.rejected) == (len(export.rows(export.text)), 0)
    assert export.lost(export.text) == []
    export.delivers(export.text)
    assert ingest(export.name, batch_size=2).unchanged == done.valid


def test_a_mapped_column_that_was_renamed_is_refused_with_both_headers_and_read_when_mapped(export: Branch) -> None:
    export.applies()
    export.delivers(export.text)
    first = ingest(export.name, batch_size=2)
    phone = export.fields["phone"]
    again = renamed(export.text, phone, f"{phone} 2")
    export.delivers(again)
    with pytest.raises(ColumnsMissing, match=f"no column '{phone}' .*did you mean '{phone} 2'") as caught:
        ingest(export.name, batch_size=2)
    assert f"had:    {export.key}, " in caught.value.what
    export.fields = {**export.fields, "phone": f"{phone} 2"}
    export.applies()
    assert ingest(export.name, batch_size=2).unchanged == first.valid
    assert export.lost(again) == []


def test_other_columns_that_change_are_kept_and_a_frozen_contract_asks(export: Branch) -> None:
    export.applies(contract="freeze")
    export.delivers(export.text)
    first = ingest(export.name, batch_size=2)
    last = list(export.rows(export.text)[0])[-1]
    if last in export.fields.values():
        export.fields = {field: column for field, column in export.fields.items() if column != last}
        export.applies(contract="freeze")
    again = renamed(export.text, last, "other")
    export.delivers(again)
    with pytest.raises(GateBlocked, match=f"renamed: '{last}' → 'other'") as caught:
        ingest(export.name, batch_size=2)
    blocked = int(str(caught.value.where["activation"]))
    with session() as connection:
        gates.accept(connection, blocked, ["contract"], why="they told us", who="me")
    done = ingest(export.name, batch_size=2)
    assert (done.activation_id, done.valid) == (blocked, first.valid)
    assert export.lost(again) == []


def test_what_is_no_row_of_an_export_is_set_aside_whole(database: str, home: Path, tmp_path: Path) -> None:
    export = Branch(tmp_path, "inspections")
    export.applies()
    export.delivers(US, TAIL)
    done = ingest(export.name, batch_size=3)
    assert (done.rows_read, done.valid, done.rejected) == (11, 7, 4)
    with session() as connection:
        found = rows(connection, REJECTS.format(activation=done.activation_id))
    assert [(one["row"], one["errors"][0]["code"]) for one in found] == [
        *[(1, "duplicate_key"), (8, "malformed_row"), (10, "name_missing"), (11, "malformed_row")]
    ]
    assert b"MORRIS PARK BAKE SHOP" in found[0]["raw"]
    assert "TOTAL: 10 rows" in found[3]["errors"][0]["message"]
