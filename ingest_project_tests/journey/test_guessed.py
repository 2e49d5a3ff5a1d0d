"""What the first rows say about a guess: formats of times and numbers, columns that are not what they are called."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from ingest_project.cli.guessed import GuessedBranch, default_name, guess_branch
from ingest_project.errors import SpecInvalid, UsageError


def of(folder: Path, text: str, **said: Any) -> GuessedBranch:
    path = folder / "a.csv"
    path.write_text(text, encoding="utf-8")
    return guess_branch(str(path), **{"name": None, "key": None, "updated_at": None, "maps": (), **said})


@pytest.mark.parametrize(
    ("times", "column", "form"),
    [
        (["2024-01-02", "2024-01-03T04:05:06Z"], "updated", None),
        (["02.01.2024", "13.1.2024"], "updated", "%d.%m.%Y"),
        (["02.01.2024 13:45", ""], "updated", "%d.%m.%Y %H:%M"),
        (["2024/01/02 00:00:00"], "updated", "%Y/%m/%d %H:%M:%S"),
        (["01/13/2024", "02/03/2024"], "updated", "%m/%d/%Y"),
        (["13/01/2024 01:02", "02/03/2024 23:59"], "updated", "%d/%m/%Y %H:%M"),
        (["01/13/2024 01:02 PM"], "updated", "%m/%d/%Y %I:%M %p"),
        (["01.02.2024", "13.01.2024", "2024-01-05"], "updated", "%d.%m.%Y"),  # ISO 8601 is read beside any
        (["01/02/2024", "2024-01-05"], "updated", None),
        (["1704164645", "1704164646"], "updated", "epoch_s"),
        (["1704164645000"], "updated", "epoch_ms"),
        (["01/02/2024", "02/03/2024"], None, None),  # of either kind: nobody knows
        (["yesterday", "today"], None, None),
        (["", ""], "updated", None),
    ],
)
def test_how_times_are_written(tmp_path: Path, times: list[str], column: str | None, form: str | None) -> None:
    text = "id,name,updated\n" + "".join(f"{at},x,{time}\n" for at, time in enumerate(times))
    spec = of(tmp_path, text).spec
    assert (spec.updated_at, spec.time_format) == (column, form)


def test_what_is_said_of_times_stands(tmp_path: Path) -> None:
    text = "id,name,updated\n1,x,01/02/2024\n"
    made = of(tmp_path, text, updated_at="updated", settings=("time_format='%d/%m/%Y'",))
    assert (made.spec.updated_at, made.spec.time_format) == ("updated", "%d/%m/%Y")
    assert of(tmp_path, text, updated_at="updated").spec.updated_at == "updated"


@pytest.mark.parametrize(
    ("prices", "settings", "mapped"),
    [
        (["€350", "12 EUR"], (), True),
        (["$350.00"], (), False),
        (["$350.00"], ("country=US",), True),
        (["350", "€12"], (), False),
    ],
)
def test_a_price_names_its_currency_or_is_kept_as_it_is(
    tmp_path: Path, prices: list[str], settings: tuple[str, ...], mapped: bool
) -> None:
    text = "id,name,price\n" + "".join(f"{at},x,{price}\n" for at, price in enumerate(prices))
    assert ("price" in of(tmp_path, text, settings=settings).spec.mapping) == mapped


@pytest.mark.parametrize(
    ("header", "row", "locale"),
    [
        ("id;name;lat;lon", "1;x;51,05;13,7", "de"),
        ("id;nom;latitude;longitude;ville", "1;x;51,05;13,7;y", "fr"),
        ("id;name;lat;lon", "1;x;51.05;13.7", "en"),
        ("id;name;preis;currency", "1;x;1.234,50;EUR", "de"),
        ("id;name;preis", "1;x;1.234,50 €", "de"),
    ],
)
def test_a_decimal_comma_needs_its_locale(tmp_path: Path, header: str, row: str, locale: str) -> None:
    made = of(tmp_path, f"{header}\n{row}\n")
    assert made.spec.locale == locale
    assert of(tmp_path, f"{header}\n{row}\n", settings=("locale=it",)).spec.locale == "it"


@pytest.mark.parametrize(
    ("header", "prices", "locale", "mapped"),
    [
        ("id;name;price;currency", ["950;USD", "1,234;USD", "12,500;USD"], "en", True),
        ("id;name;price;currency", ["1,234.50;USD"], "en", True),
        ("id;name;price;currency", ["1,234;EUR", "12,50;EUR"], "de", True),
        ("id;name;price;currency", ["0,549;EUR"], "de", True),
        ("id;name;price", ["€950", "€1,234"], "en", True),
        ("id;name;preis;currency", ["950;EUR", "1,549;EUR"], "en", False),  # either: nobody knows
        ("id;name;preis", ["€1,549"], "en", False),
        ("id;name;preis;currency", ["1,549;EUR", "12.50;EUR"], "en", True),
        ("id;name;preis;currency", ["1,549;EUR", "1,234,567;EUR"], "en", True),
        ("id;name;preis;currency;lat;lon", ["1,549;EUR;51,05;13,7"], "de", True),
        ("id;name;preis;currency", ["950;EUR", "1.200;EUR", "12.500 €;EUR"], "de", True),
        ("id;name;price;currency", ["950;KWD", "1.200;KWD"], "en", True),
        (
            "id;name;preis;currency;lat;lon",
            ["9.50;EUR;51.0;13.7", "9.50;EUR;51.0;13.8", "8.00;EUR;51,2;13,9"],
            "en",
            True,
        ),
    ],
)
def test_thousands_are_no_decimals(tmp_path: Path, header: str, prices: list[str], locale: str, mapped: bool) -> None:
    text = "\n".join([header, *(f"{at};x;{price}" for at, price in enumerate(prices))])
    spec = of(tmp_path, text).spec
    assert (spec.locale, "price" in spec.mapping) == (locale, mapped)
    assert mapped or "currency" not in spec.mapping
    assert "price" in of(tmp_path, text, settings=("locale=de",)).spec.mapping


def test_columns_that_are_not_what_they_are_called(tmp_path: Path) -> None:
    text = "id,name,status,x,y\n1,a,AAI,533498,181201\n2,b,AAC,533499,181202\n"
    assert set(of(tmp_path, text).spec.mapping) == {"name"}
    assert set(of(tmp_path, text, maps=("status=status",)).spec.mapping) == {"name", "status"}
    text = "id,name,status,x,y\n1,a,AAI,13.4,52.5\n2,b,open,13.5,52.6\n3,c,,533498,52.5\n"
    assert set(of(tmp_path, text).spec.mapping) == {"name", "status", "latitude", "longitude"}


def test_what_each_row_of_geojson_is_called_is_no_category(tmp_path: Path) -> None:
    features = [{"type": "Feature", "id": at, "properties": {"name": "x"}, "geometry": None} for at in range(2)]
    file = tmp_path / "a.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    made = guess_branch(str(file), name="g", key=None, updated_at=None, maps=())
    assert (made.spec.key, set(made.spec.mapping)) == ("id", {"name"})


@pytest.mark.parametrize(
    ("column", "value", "mapped"),
    [
        ("Lat/Long", "42.36, -71.06", True),
        ("Location", "(42.36, -71.06)", True),
        ("geometry", "POINT (-71.06 42.36)", True),
        ("Location", "Boston, MA", False),
        ("coordinates", "", False),
        ("coordinates", "[13.4, 52.5]", False),  # longitude first to GeoJSON, latitude first to others
    ],
)
def test_a_place_in_one_column(tmp_path: Path, column: str, value: str, mapped: bool) -> None:
    made = of(tmp_path, f'id,name,{column}\n1,a,"{value}"\n')
    assert made.guess.mapping == {
        "name": "name",
        **(dict.fromkeys(("latitude", "longitude"), column) if mapped else {}),
    }
    assert set(made.spec.mapping) == set(made.guess.mapping)


def test_most_values_of_a_place_in_one_column_are_places(tmp_path: Path) -> None:
    streets = "id,name,lieu\n1,a,Main St 1\n2,b,12/5\n3,c,Rue 4\n"
    assert set(of(tmp_path, streets).spec.mapping) == {"name"}
    half = 'id,name,lieu\n1,a,"1.5, 2.5"\n2,b,none\n'
    assert set(of(tmp_path, half).spec.mapping) == {"name"}
    assert set(of(tmp_path, half + '3,c,"3.5, 4.5"\n').spec.mapping) == {"name", "latitude", "longitude"}


@pytest.mark.parametrize("where", ["coordinates", "location.coordinates", "address.geometry.coordinates"])
def test_an_array_of_json_has_its_longitude_first(tmp_path: Path, where: str) -> None:
    place: object = [13.4, 52.5]
    for name in reversed(where.split(".")):
        place = {name: place}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": 1, "name": "a", **cast("dict[str, Any]", place)}), encoding="utf-8")
    mapping = guess_branch(str(path), name=None, key=None, updated_at=None, maps=()).guess.mapping
    assert (mapping["latitude"], mapping["longitude"]) == (f"{where}.1", f"{where}.0")


def test_columns_of_their_own_go_before_a_place_in_one(tmp_path: Path) -> None:
    made = of(tmp_path, 'id,name,lat,lon,location\n1,a,1.5,2.5,"(1.5, 2.5)"\n')
    assert (made.guess.mapping["latitude"], made.guess.mapping["longitude"]) == ("lat", "lon")
    assert "attributes: location" in made.as_table()


def test_phones_without_a_country_get_a_hint(tmp_path: Path) -> None:
    text = "id,name,phone\n1,a,030 123456\n"
    assert "--set country=DE" in of(tmp_path, text).as_table()
    said = of(tmp_path, text, settings=("country=DE",)).as_table()
    assert "--set country=DE" not in said
    assert "country     ←  'DE'   as you say" in said


def test_settings_are_those_of_a_branch_file(tmp_path: Path) -> None:
    text = "id,name\n1,a\n"
    spec = of(tmp_path, text, settings=("missing=tombstone", "required=[locality]", "embed=false")).spec
    assert (spec.missing, spec.required, spec.embed) == ("tombstone", ["locality"], False)
    with pytest.raises(UsageError, match="--set country: say SETTING=VALUE"):
        of(tmp_path, text, settings=("country",))
    with pytest.raises(UsageError, match="--set key=id: say --key"):
        of(tmp_path, text, settings=("key=id",))
    with pytest.raises(SpecInvalid, match="colour"):
        of(tmp_path, text, settings=("colour=red",))
    with pytest.raises(SpecInvalid, match="must be an ISO"):
        of(tmp_path, text, settings=("country=Germany",))


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("exports/places.csv.gz", "places"),
        ("exports/places-*.csv", "places"),
        ("exports/*.csv", "exports"),
        ("exports/2024_??.jsonl.zst", "2024"),
        ("/data/places/**/*.parquet", "places"),
        ("/data/places/[0-9]*/part-?.csv", "part"),
        ("s3://bucket/places/*.csv", "places"),
        ("https://example.org/places.csv", "places"),
        ("postgresql://h/db?table=public.places", "places"),
        ("/**", "/**"),
    ],
)
def test_a_branch_is_named_after_its_data(location: str, name: str) -> None:
    assert default_name(location) == name


def test_a_glob_without_words_is_named_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_name("*.csv") == tmp_path.name


def test_brackets_of_a_file_are_its_name(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").touch()
    assert default_name(str(tmp_path / "a[1].csv")) == "a[1]"
