"""Columns as real exports name them, and what they are taken for."""

import pytest

from ingest_project.errors import SpecInvalid
from ingest_project.guess.columns import decimal_comma_locale, guess

KNOWN = [
    (
        "OurAirports",
        "id ident type name latitude_deg longitude_deg elevation_ft iso_country iso_region municipality home_link",
        ("id", None),
        {
            "name": "name",
            "category": "type",
            "locality": "municipality",
            "region_code": "iso_region",
            "country_code": "iso_country",
            "latitude": "latitude_deg",
            "longitude": "longitude_deg",
        },
    ),
    (
        "schema.org",
        "identifier name description streetAddress addressLocality addressRegion postalCode addressCountry latitude "
        "longitude telephone url dateModified price priceCurrency",
        ("identifier", "dateModified"),
        {
            "name": "name",
            "description": "description",
            "street": "streetAddress",
            "locality": "addressLocality",
            "region_name": "addressRegion",
            "postal_code": "postalCode",
            "country_code": "addressCountry",
            "latitude": "latitude",
            "longitude": "longitude",
            "phone": "telephone",
            "website_url": "url",
            "price": "price",
            "currency": "priceCurrency",
        },
    ),
    (
        "OpenStreetMap",
        "osm_id name amenity addr:street addr:housenumber addr:city addr:postcode addr:country lat lon contact:phone "
        "contact:website @timestamp",
        ("osm_id", "@timestamp"),
        {
            "name": "name",
            "category": "amenity",
            "street": "addr:street",
            "house_number": "addr:housenumber",
            "locality": "addr:city",
            "postal_code": "addr:postcode",
            "country_code": "addr:country",
            "latitude": "lat",
            "longitude": "lon",
            "phone": "contact:phone",
            "website_url": "contact:website",
        },
    ),
    (
        "GTFS",
        "stop_id stop_code stop_name stop_desc stop_lat stop_lon zone_id stop_url location_type parent_station",
        ("stop_id", None),
        {
            "name": "stop_name",
            "description": "stop_desc",
            "latitude": "stop_lat",
            "longitude": "stop_lon",
            "website_url": "stop_url",
        },
    ),
    (
        "Geonames",
        "geonameid name asciiname latitude longitude feature_class feature_code country_code modification_date",
        ("geonameid", "modification_date"),
        {
            "name": "name",
            "category": "feature_code",
            "country_code": "country_code",
            "latitude": "latitude",
            "longitude": "longitude",
        },
    ),
    (
        "Overture",
        "id update_time names.primary categories.primary addresses.freeform addresses.locality addresses.postcode "
        "addresses.region addresses.country operating_status",
        ("id", "update_time"),
        {
            "name": "names.primary",
            "category": "categories.primary",
            "status": "operating_status",
            "street": "addresses.freeform",
            "locality": "addresses.locality",
            "region_name": "addresses.region",
            "postal_code": "addresses.postcode",
            "country_code": "addresses.country",
        },
    ),
    (
        "a spreadsheet",
        "Place ID;Title;Address 1;Address 2;City;State;ZIP;Country;Y;X;Tel.;Last Update",
        ("Place ID", "Last Update"),
        {
            "name": "Title",
            "street": "Address 1",
            "unit": "Address 2",
            "locality": "City",
            "region_name": "State",
            "postal_code": "ZIP",
            "country_code": "Country",
            "latitude": "Y",
            "longitude": "X",
            "phone": "Tel.",
        },
    ),
    (
        "Salesforce",
        "Account ID;Account Name;Billing Street;Billing City;Billing State/Province;Billing Zip/Postal Code;"
        "Billing Country;Phone;Website;Last Modified Date",
        ("Account ID", "Last Modified Date"),
        {
            "name": "Account Name",
            "street": "Billing Street",
            "locality": "Billing City",
            "region_name": "Billing State/Province",
            "postal_code": "Billing Zip/Postal Code",
            "country_code": "Billing Country",
            "phone": "Phone",
            "website_url": "Website",
        },
    ),
    (
        "HubSpot",
        "Record ID;Company name;Phone Number;City;Country/Region;Street Address;State/Region;Postal Code;Website URL",
        ("Record ID", None),
        {
            "name": "Company name",
            "street": "Street Address",
            "locality": "City",
            "region_name": "State/Region",
            "postal_code": "Postal Code",
            "country_code": "Country/Region",
            "phone": "Phone Number",
            "website_url": "Website URL",
        },
    ),
    (
        "a register",
        "ID;Наименование организации;Контактный телефон;Координаты;WWW",
        ("ID", None),
        {"name": "Наименование организации", "phone": "Контактный телефон", "website_url": "WWW"},
    ),
    ("a list of shops", "Store #;Store Name", ("Store #", None), {"name": "Store Name"}),
]


@pytest.mark.parametrize(("origin", "names", "rows", "mapping"), KNOWN, ids=[known[0] for known in KNOWN])
def test_columns_of_known_exports(
    origin: str, names: str, rows: tuple[str, str | None], mapping: dict[str, str]
) -> None:
    found = names.split(";") if ";" in names else names.split()
    made = guess(found)
    assert (made.key, made.updated_at) == rows, origin
    assert made.mapping == mapping


def test_where_no_key_is_known_columns_that_could_be_one_are_named() -> None:
    with pytest.raises(SpecInvalid) as caught:
        guess(["name", "city", "shelf"], unique=["name", "shelf"]).spec("x", "x.csv")
    assert caught.value.what.endswith("\n    different in each of the first rows: 'name', 'shelf'")


@pytest.mark.parametrize(
    ("names", "unique", "key"),
    [
        ("name id", [], "id"),  # a usual name, whatever dirt the first rows have
        ("code name", ["name"], None),  # a number of something else
        ("code name", ["code", "name"], "code"),
        ("name Shop-Nr city", ["name", "Shop-Nr"], "Shop-Nr"),
        ("name shelf", ["name", "shelf"], None),
        ("name Postcode Phone_number Place-Ref", ["name", "Postcode", "Phone_number", "Place-Ref"], "Place-Ref"),
        ("name ZIP_Code Fax_Number House_Nr", ["name", "ZIP_Code", "Fax_Number", "House_Nr"], None),
        ("pincode title", ["pincode", "title"], None),
        ("Tel-Nr Rufnummer Contact_Number", ["Tel-Nr", "Rufnummer", "Contact_Number"], None),
        ("title Warehouse_Number", ["title", "Warehouse_Number"], "Warehouse_Number"),
        ("name FHRSID LocalAuthorityBusinessID", ["FHRSID", "LocalAuthorityBusinessID"], "FHRSID"),
    ],
)
def test_a_key_that_only_the_values_tell(names: str, unique: list[str], key: str | None) -> None:
    assert guess(names.split(), unique=unique).key == key


def test_the_name_is_the_one_that_no_row_lacks() -> None:
    found = ["id", "doing business as name", "legal name"]
    assert guess(found).mapping == {"name": "doing business as name"}
    assert guess(found, filled=["id", "legal name"]).mapping == {"name": "legal name"}


@pytest.mark.parametrize("other", ["city_name", "ownerName", "contact name", "group-name", "brand name"])
def test_the_name_of_something_else_is_no_name(other: str) -> None:
    assert "name" not in guess(["id", other]).mapping
    assert guess(["id", other, "museum_name"]).mapping["name"] == "museum_name"


GERMAN = "Kundennr;Firma;Straße;Hausnr.;PLZ;Ort;Bundesland;Land;Telefon;Breite;Länge;Preis;Währung;Geändert am"
FRENCH = "Identifiant;Dénomination;Adresse;Code postal;Ville;Département;Pays;Téléphone;Site web;Latitude;Longitude"
SPANISH = "Código;Nombre;Dirección;Número;Código Postal;Población;Provincia;País;Teléfono;Latitud;Longitud"
ITALIAN = "ID;Denominazione;Indirizzo;Civico;CAP;Comune;Regione;Nazione;Telefono;Sito web;Latitudine;Longitudine"
DUTCH = "Nummer;Naam;Straatnaam;Huisnummer;Toevoeging;Postcode;Plaats;Provincie;Land;Telefoon;Breedtegraad;Lengtegraad"
PORTUGUESE = "Código;Nome;Endereço;Número;Bairro;CEP;Cidade;UF;País;Telefone;Latitude;Longitude"
SAP = "KUNNR;NAME1;STRAS;ORT01;PSTLZ;REGIO;LAND1;TELF1"


@pytest.mark.parametrize(
    ("header", "spare", "locale"),
    [
        (GERMAN, set(), "de"),
        (FRENCH, set(), "fr"),
        (SPANISH, set(), "es"),
        (ITALIAN, set(), "it"),
        (DUTCH, set(), "nl"),
        (PORTUGUESE, set(), "pt"),
        (SAP, set(), "de"),
        ("Place ID;Name;E-Mail", {"E-Mail"}, "de"),
    ],
)
def test_headers_in_other_languages(header: str, spare: set[str], locale: str) -> None:
    found = header.split(";")
    made = guess(found, unique=[found[0]])
    assert made.key == found[0]
    assert {made.key, made.updated_at, *made.mapping.values()} - {None} == set(found) - spare
    assert decimal_comma_locale(found) == locale


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("geo.latitude", "latitude"),
        ("geometry.location.lat", "latitude"),
        ("location.coordinates.1", "latitude"),
        ("address.streetAddress", "street"),
        ("address.addressCountry.name", "country_code"),
        ("properties.addr:city", "locality"),
        ("tags.phone", "phone"),
        ("addresses.0.freeform", "street"),
        ("location.zip_code", "postal_code"),
        ("names.primary", "name"),
        ("RegAddress.PostTown", "locality"),
        ("billing_address.zip", "postal_code"),
        ("author.name", None),
        ("ip_address.country", None),
        ("email_address.city", None),
        ("reviews.0.city", None),
    ],
)
def test_nested_values_are_known_by_their_last_name_under_usual_ones(path: str, field: str | None) -> None:
    other = {"latitude": "lng"}.get(field or "", "color")
    made = guess(["id", "title" if field != "name" else "x", other], array_paths=[path])
    assert [name for name, column in made.mapping.items() if column == path] == ([field] if field else [])


def test_outer_values_go_before_inner_ones() -> None:
    found = ["id", "name", "geometry.viewport.northeast.lat", "geometry.viewport.northeast.lng"]
    assert guess(found).mapping == {"name": "name"}
    made = guess([*found, "geometry.location.lat", "geometry.location.lng", "address.name"])
    assert made.mapping == {
        "name": "name",
        "latitude": "geometry.location.lat",
        "longitude": "geometry.location.lng",
    }


def test_units_and_remarks_in_brackets_are_no_part_of_a_name() -> None:
    made = guess(["id", "name", "Latitude (°)", "Longitude [deg]", "(x)"])
    assert made.mapping == {"name": "name", "latitude": "Latitude (°)", "longitude": "Longitude [deg]"}


def test_what_is_said_goes_before_what_is_guessed() -> None:
    made = guess(["id", "code", "name", "title"], key="code", mapping={"name": "title"})
    assert (made.key, made.mapping) == ("code", {"name": "title"})
    assert guess(["id", "changed", "made"], updated_at="made").updated_at == "made"


def test_a_column_is_taken_once() -> None:
    assert guess(["id", "street_number", "name"]).mapping == {"name": "name", "house_number": "street_number"}
    taken = [*guess(["id", "name", "url", "site", "link"]).mapping.values()]
    assert taken == ["name", "url"]


@pytest.mark.parametrize("half", ["lat", "lon", "price", "currency"])
def test_half_a_pair_stays_unmapped(half: str) -> None:
    assert guess(["id", "name", half]).mapping == {"name": "name"}


def test_half_a_pair_that_somebody_says_is_mapped() -> None:
    said = guess(["id", "name", "Preis", "lat"], mapping={"price": "Preis"})
    assert said.mapping == {"name": "name", "price": "Preis"}


def test_fields_come_in_the_order_of_the_declaration() -> None:
    assert list(guess(["country", "city", "name", "id"]).mapping) == ["name", "locality", "country_code"]


def test_the_guess_is_a_branch() -> None:
    spec = guess(["id", "name", "updated_at"]).spec("places", "/data/places.csv")
    assert (spec.name, spec.source, spec.key, spec.updated_at) == ("places", "places", "id", "updated_at")
    assert spec.declared_columns() == ["id", "updated_at", "name"]


@pytest.mark.parametrize(
    ("names", "words", "todo"),
    [
        (["a", "name"], "key: no column looks as if it names a row; there are: 'a', 'name'", "--key COLUMN"),
        (["id", "b"], "name: no column looks as if it is the name of an item; there are: 'id', 'b'", "--map name=COL"),
        (
            [*"abcdefgh"],
            "key: no column looks as if it names a row; there are: 'a', 'b', 'c', 'd', 'e', 'f' and 2 more",
            "--key",
        ),
        (
            ["1", "Cafe", "48.2"],
            "key: no column looks as if it names a row; there are: '1', 'Cafe', '48.2'",
            "The first line looks like a row: put a line of column names before it. Or say it: --key COLUMN",
        ),
    ],
)
def test_where_nothing_fits_it_says_what_to_say(names: list[str], words: str, todo: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        guess(names).spec("x", "x.csv")
    assert caught.value.what == words
    assert todo in caught.value.todo


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"key": "nope"}, "there is no column 'nope'; there are: id, name"),
        ({"updated_at": "nope"}, "there is no column 'nope'"),
        ({"mapping": {"name": "nope"}}, "there is no column 'nope'"),
        ({"mapping": {"nope": "name"}}, "there is no field 'nope'; there are: name, category"),
        ({"mapping": {"external_id": "id"}}, "there is no field 'external_id'"),
    ],
)
def test_what_is_not_there_cannot_be_said(said: dict[str, str], words: str) -> None:
    with pytest.raises(SpecInvalid, match=words):
        guess(["id", "name"], **said)  # pyright: ignore[reportArgumentType]
