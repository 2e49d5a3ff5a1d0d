"""Exports as they are met: places, listings, registers, hotels, in the shapes and the dirt of their makers."""

import csv
from typing import Any

from ingest_project_tests.journey.listings import Listing, Row, Rows, delimited, document, gzipped, lines, parquet


def rows_of(names: str, *rows: tuple[Any, ...], mark: str = ",") -> Rows:
    """Rows under these names."""
    return [dict(zip(names.split(mark), row, strict=True)) for row in rows]


def fields(text: str) -> dict[str, str]:
    """A mapping, written as `field=column;field=column`."""
    return dict(one.split("=", maxsplit=1) for one in text.split(";"))


GOOGLE = rows_of(
    "place_id,name,formatted_address,geometry.location.lat,geometry.location.lng,geometry.viewport.northeast.lat,"
    "geometry.viewport.northeast.lng,types,rating,business_status,international_phone_number,website,opening_hours",
    (
        *("ChIJ1", "Café Sperl", "Gumpendorfer Str. 11, 1060 Wien, Austria", 48.1985, 16.36, 48.2, 16.4),
        *(["cafe", "food"], 4.5, "OPERATIONAL", "+43 1 5864158", "http://www.cafesperl.at/", None),
    ),
    (
        *("ChIJ2", "Hard\u00a0Rock", "150 Old Park Ln\nLondon", 51.5, -0.15, 51.6),
        *(-0.1, ["bar"], 4, "CLOSED_TEMPORARILY"),
        *("+44 20 7514 1700", "www.hardrock.com", [{"open": {"day": 0}}]),
    ),
    ("ChIJ3", "⚡ مطعم القدس", "القدس", 0, 0, None, None, [], None, "CLOSED_PERMANENTLY", "none", "javascript:1", None),
    (
        *("ChIJ4", "東京タワー", "東京都港区", 35.6586, 139.7454, None, None, None, 4.4, "MOVED", "", "https://a.jp/ü"),
        *(None,),
    ),
)
GOOGLE_FIELDS = fields(
    "name=name;category=types.0;status=business_status;street=formatted_address;"
    "latitude=geometry.location.lat;longitude=geometry.location.lng;"
    "phone=international_phone_number;website_url=website"
)
OSM = rows_of(
    "type|id|properties.@id|properties.name|properties.amenity|properties.addr:street|properties.addr:housenumber|"
    "properties.addr:city|properties.addr:postcode|properties.addr:country|properties.contact:phone|geometry.type|"
    "geometry.coordinates",
    (
        *("Feature", "node/1", "node/1", "Zum Löwen", "restaurant", "Hauptstraße", "5a", "Ulm", "89073", "DE"),
        *("0731/123456", "Point", [9.99, 48.4]),
    ),
    (
        *("Feature", "way/2", "way/2", "Park", None, None, None, None, None, None, None, "Polygon"),
        *([[[1, 2], [3, 4], [1, 2]]],),
    ),
    (
        *("Feature", "node/3", "node/3", "N\u0308uss", "pub", "Weg", "1-3", "Bonn", "053111", "D", "x", "Point"),
        *([7.1, 50.7],),
    ),
    ("Feature", "node/4", "node/4", "Last", "pub", "Weg", "7", "Bonn", "53111", "DE", "", "Point", [7.1, 50.7]),
    mark="|",
)
OVERTURE = rows_of(
    "id;names.primary;categories.primary;categories.alternate;confidence;websites;phones;addresses;operating_status;"
    "bbox.xmin;bbox.ymin",
    (
        *("08f1", "Sprüngli", "bakery", ["cafe"], 0.9, ["http://a.ch"], ["+41443211234", "+41443211235"]),
        [{"freeform": "Paradeplatz 1", "locality": "Zürich", "postcode": "8001", "region": "ZH", "country": "CH"}],
        *("open", 8.5, 47.25),
    ),
    ("08f2", "B", None, None, 0.5, None, [], [], None, 1.5, 2.5),
    ("08f3", "C", "x", [], None, [""], ["?"], [{"freeform": "", "country": "Atlantis"}], "closed", 181.5, 2.5),
    ("08f4", "D", "x", None, 0.1, None, None, None, None, None, None),
    mark=";",
)
SCHEMA_ORG = rows_of(
    "@type;@id;name;address.@type;address.streetAddress;address.addressLocality;address.postalCode;"
    "address.addressCountry.name;geo.latitude;geo.longitude;telephone;dateModified;priceRange",
    (
        *("Hotel", "https://x/1", "Grand", "PostalAddress", "12 rue de l’Église", "Lyon", "69001", "Côte d’Ivoire"),
        *("45.7", "4.8", "+33 4 72 00 00 00", "2024-01-02", "€€"),
    ),
    ("Hotel", "https://x/2", "Other", "PostalAddress", "", None, "1", "FR", 91, 4.8, "0472000000", "2024-01-03", None),
    ("Inn", "https://x/3", "Third", "PostalAddress", "A", "B", "75001", "France", 48.8, 2.3, None, "yesterday", "$"),
    mark=";",
)
GERMAN = rows_of(
    "Kundennr;Firma;Straße;Hausnr.;PLZ;Ort;Bundesland;Land;Telefon;E-Mail;Breite;Länge;Preis;Währung;Geändert am",
    (
        *("00123", "Müller & Söhne „GmbH“", "Königstraße", "12 a", "01067", "Dresden", "Sachsen", "Deutschland"),
        *("0351/123456", "a@b.de", "51,05", "13,74", "1.234,50", "EUR", "2024-01-02"),
    ),
    ("00124", "Groß", "", "", "1067", "", "Bayern", "Schweiz", "0049 (0)30 123456 Durchwahl 5", "", "", "", "", "", ""),
    (
        *("00125", "M\u00fcnchen – Süd", "Weg; hinten", "1", "80331", "München", "BY", "DE", "-", "x", "0", "0"),
        *("x", "€", "-"),
    ),
    (
        *("00126", "Letzte", "Weg", "1", "80331", "München", "BY", "DE", "", "", "48,1", "11,5", "9,99", "EUR"),
        *("2024-01-04",),
    ),
    mark=";",
)
FRENCH = rows_of(
    "Identifiant;Dénomination;Adresse;Code postal;Ville;Département;Pays;Téléphone;Site web;Latitude;Longitude",
    (
        *("1", "L'Été “Bleu”", "12 rue de l'Église", "01000", "Bourg", "Ain", "France", "04 74 00 00 00"),
        *("www.ete.fr", "46,2", "5,2"),
    ),
    ("2", "Œuf", "", "1000", "Bourg", "Ain", "FR", "04.74.00.00.00 / 06 12 34 56 78", "ete", "46,2", ""),
    ("3", "Trois", "", "", "", "", "", "", "", "", ""),
    mark=";",
)
FOOD = rows_of(
    "FHRSID,LocalAuthorityBusinessID,BusinessName,BusinessType,AddressLine1,PostCode,RatingValue,Longitude,Latitude",
    ("1", "0001", "THE RED LION", "Pub", "1 HIGH ST", "SW1A 1AA", "5", "-0.1", "51.5"),
    ("2", "0002", 'SMITH, J. T/A "JAN\'S"', "Cafe", "", "SW1A1AA", "Exempt", "", ""),
    ("3", "N/A", "FRIED CHICKEN", "Takeaway", "1 HIGH ST\nUPSTAIRS", "N/A", "0", "-0.1", ""),
    ("4", "0004", "ZERO", "Takeaway", "2 HIGH ST", "BT1 1AA", "3", "-999", "-999"),
)
LICENSES = rows_of(
    "LICENSE ID,LEGAL NAME,DOING BUSINESS AS NAME,ADDRESS,CITY,STATE,ZIP CODE,LICENSE STATUS,DATE ISSUED,LATITUDE,"
    "LONGITUDE,LOCATION",
    (
        *("2001", "ACME LLC", "ACME", "1 N STATE ST", "CHICAGO", "IL", "60602.0", "AAI", "01/02/2024", "41.88"),
        *("-87.62", "(4, 5)"),
    ),
    ("2002", "B INC", "", "2 N STATE ST  APT 3", "CHICAGO", "il", "6060", "AAC", "01/03/2024", "41.88N", "87.62W", ""),
    ("2003", "C INC", "C", "[REDACTED]", "", "", "", "", "", "41° 52' 48\"", "-87.62", "x"),
)
HOTELS = rows_of(
    "hotelId,hotelName,hotelStars,addressLine,cityName,countryCode,geoLat,geoLng,phoneNumber,minRate,currencyCode,notes",
    (
        *("7", "Ritz", "5 stars", "1 Place Vendôme", "Paris", "FR", "48.86", "2.32", "+33 1 43 16 30 30 ext. 5"),
        *("1200", "EUR", "a\tb"),
    ),
    ("8", "Hôtel\u200b", "", "", "Paris", "fr", "48.86", "2.32", "+33143163030", "-1", "EUR", "\u202ex"),
    ("9", "Sushi 🍣", "3", "", "Osaka", "JPN", "34.7", "135.5", "06-6347-1112", "12000.5", "¥", ""),
    ("10", "No rate", "3", "", "Osaka", "JP", "34.7", "135.5", "", "ask", "JPY", "x" * 3000),
)
YELP = rows_of(
    "business_id;name;address;city;state;postal_code;latitude;longitude;stars;is_open;attributes.WiFi;categories;hours.Monday",
    (
        *("--9e", "Delmonico", "3355 Las Vegas Blvd S", "Las Vegas", "NV", "89109", 36.1, -115.1, 4.0, 1),
        *("u'no'", "Steak, Bars", None),
    ),
    ("_b", "B\u0000ar", "", "Toronto", "ON", "M5V 2T6", 43.6, -79.4, 3.5, 0, None, None, "17:0-21:30"),
    ("_c", "C", None, "Toronto", "ON", "M5V", 1e-07, 1e3, None, True, None, "", None),
    mark=";",
)
FIVE: Row = {"id": "5", "name": "five", "lat": "1.5", "lon": "2.5", "tags": "a;b"}
PLAIN = [
    {**FIVE, "id": key, "name": f"name of {key}"} for key in ("007", "7", "7.0", "9007199254740993", "1E+05", "a", "A")
]

EXPORTS = {
    "google, lines": Listing("g.jsonl", lines, GOOGLE, "place_id", GOOGLE_FIELDS, {"nested": "flatten"}),
    "google, answer": Listing(
        *("g.json", document(lambda rows: {"status": "OK", "html": [], "results": rows}, 2), GOOGLE, "place_id"),
        *(GOOGLE_FIELDS, {"nested": "flatten"}),
    ),
    "osm, geojson": Listing(
        *("osm.geojson", document(lambda rows: {"type": "FeatureCollection", "features": rows}), OSM, "id"),
        fields(
            "name=properties.name;category=properties.amenity;street=properties.addr:street;"
            "house_number=properties.addr:housenumber;locality=properties.addr:city;"
            "postal_code=properties.addr:postcode;country_code=properties.addr:country;"
            "latitude=geometry.coordinates.1;longitude=geometry.coordinates.0;"
            "phone=properties.contact:phone"
        ),
        {"nested": "flatten"},
    ),
    "overture, parquet": Listing(
        *("places.parquet", parquet, OVERTURE, "id"),
        fields(
            "name=names.primary;category=categories.primary;status=operating_status;"
            "street=addresses.0.freeform;locality=addresses.0.locality;region_name=addresses.0.region;"
            "postal_code=addresses.0.postcode;country_code=addresses.0.country;latitude=bbox.ymin;"
            "longitude=bbox.xmin;phone=phones.0;website_url=websites.0"
        ),
        {"nested": "flatten"},
    ),
    "schema.org, gzip": Listing(
        *("s.jsonl.gz", gzipped(lines), SCHEMA_ORG, "@id"),
        fields(
            "name=name;category=@type;street=address.streetAddress;locality=address.addressLocality;"
            "postal_code=address.postalCode;country_code=address.addressCountry.name;latitude=geo.latitude;"
            "longitude=geo.longitude;phone=telephone"
        ),
        {"nested": "flatten"},
        updated_at="dateModified",
    ),
    "german spreadsheet": Listing(
        *("kunden.csv", delimited(";", "cp1252", end="\r\n"), GERMAN, "Kundennr"),
        fields(
            "name=Firma;street=Straße;house_number=Hausnr.;locality=Ort;region_name=Bundesland;"
            "postal_code=PLZ;country_code=Land;latitude=Breite;longitude=Länge;phone=Telefon;price=Preis;"
            "currency=Währung"
        ),
        {"locale": "de", "encoding": "windows-1252", "delimiter": ";"},
        updated_at="Geändert am",
    ),
    "french spreadsheet with a title": Listing(
        *("sites.csv", delimited(";", "utf-16", end="\r\n", before="Sites au 1er mai\r\n\r\n"), FRENCH, "Identifiant"),
        fields(
            "name=Dénomination;street=Adresse;locality=Ville;region_name=Département;"
            "postal_code=Code postal;country_code=Pays;latitude=Latitude;longitude=Longitude;"
            "phone=Téléphone;website_url=Site web"
        ),
        {"locale": "fr", "encoding": "utf-16", "skip_lines": 2, "delimiter": ";"},
    ),
    "food hygiene": Listing(
        *("food.csv", delimited(quote=csv.QUOTE_ALL), FOOD, "FHRSID"),
        fields(
            "name=BusinessName;category=BusinessType;street=AddressLine1;postal_code=PostCode;"
            "latitude=Latitude;longitude=Longitude"
        ),
        {"country": "GB"},
        settings=("country=GB",),
    ),
    "licences": Listing(
        *("licences.txt", delimited("|", before="\n"), LICENSES, "LICENSE ID"),
        fields(
            "name=LEGAL NAME;street=ADDRESS;locality=CITY;region_name=STATE;postal_code=ZIP CODE;"
            "latitude=LATITUDE;longitude=LONGITUDE"
        ),
        {"country": "US", "delimiter": "|"},
        settings=("country=US",),
    ),
    "hotels": Listing(
        *("hotels.tsv", delimited("\t", "utf-8-sig"), HOTELS, "hotelId"),
        fields(
            "name=hotelName;street=addressLine;locality=cityName;country_code=countryCode;latitude=geoLat;"
            "longitude=geoLng;phone=phoneNumber;price=minRate;currency=currencyCode"
        ),
        {"delimiter": "\t"},
    ),
    "yelp": Listing(
        *("business.json", lines, YELP, "business_id"),
        fields(
            "name=name;category=categories;street=address;locality=city;region_name=state;"
            "postal_code=postal_code;latitude=latitude;longitude=longitude"
        ),
        {"nested": "flatten"},
    ),
    "keys that look alike": Listing(
        *(
            "plain.csv",
            delimited(after="\n\n"),
            PLAIN,
            "id",
            {"name": "name", "latitude": "lat", "longitude": "lon"},
            {},
        )
    ),
}
