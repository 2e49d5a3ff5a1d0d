"""A branch file guessed from the names of columns: a start for a person to look over, never the last word.

The names are those of schema.org, Overture, OpenStreetMap, OurAirports and of common exports. A column is taken once,
a field takes the first of its names that is there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SpecInvalid
from ingest_project.item import columns

# Folded: lower case, letters and digits only. The first is the likeliest.
_KEY = (
    "id externalid uuid guid identifier key placeid osmid "
    "gersid fsqplaceid fsqid recordid itemid objectid businessid stopid "
    "geonameid sku code"
)
_UPDATED_AT = (
    "updatedat updated lastupdated lastupdate updatetime dateupdated modifiedat modified datemodified lastmodified "
    "changedat changed timestamp daterefreshed modificationdate "
    "lastscraped"
)
_SYNONYMS = {
    "name": (
        "name title label displayname placename businessname namesprimary "
        "companyname storename facilityname stopname bezeichnung nom nombre"
    ),
    "category": (
        "category amenity shop kind primarycategory categoriesprimary categoryname fclass facilitytype type class "
        "roomtype featurecode subtype"
    ),
    "description": "description about summary desc details stopdesc",
    "status": "status operatingstatus businessstatus",
    "street": (
        "street streetaddress addrstreet addressline1 address1 addressline "
        "address streetname freeform addressesfreeform strasse strae adresse"
    ),
    "house_number": "housenumber houseno addrhousenumber streetnumber buildingnumber hausnummer",
    "unit": "unit suite apartment addrunit addressline2 address2 flat",
    "po_box": "pobox postofficeboxnumber postbox",
    "sublocality": "sublocality neighborhood neighbourhood suburb district borough dependentlocality addrsuburb",
    "locality": (
        "locality city addresslocality addrcity town municipality village posttown addresseslocality ort ville ciudad"
    ),
    "region_code": "regioncode isoregion statecode provincecode iso31662",
    "region_name": (
        "regionname region addressregion state province "
        "addrstate administrativearea statename addressesregion bundesland"
    ),
    "postal_code": "postalcode postcode zip zipcode addrpostcode postal plz addressespostcode codepostal codigopostal",
    "country_code": (
        "countrycode isocountry country addresscountry addrcountry countryname iso2 addressescountry pays pais"
    ),
    "latitude": (
        "latitude lat latitudedeg decimallatitude geolat latitudewgs84 y stoplat geolatitude breitengrad latitud"
    ),
    "longitude": (
        "longitude lon lng long longitudedeg decimallongitude "
        "geolon geolng longitudewgs84 x stoplon geolongitude longitud"
    ),
    "phone": "phone telephone tel phonenumber contactphone mobile telefon telefono",
    "phone_ext": "phoneext phoneextension extension ext",
    "website_url": "website websiteurl url web homepage contactwebsite site link stopurl listingurl webseite",
    "price": "price amount cost entryprice fee",
    "currency": "currency pricecurrency currencycode",
}
_PAIRS = (("latitude", "longitude"), ("price", "currency"))


@dataclass(frozen=True)
class Guess:
    """What the columns of a source are likely to be; None where nothing fits."""

    key: str | None
    updated_at: str | None
    mapping: dict[str, str]

    def spec(self, name: str, location: str, **written: str) -> BranchSpec:
        """A branch of this guess; `written`: delimiter and encoding. Raises SpecInvalid without key or name."""
        if self.key is None:
            raise _undecided("key", "names a row", "--key COLUMN", location)
        if "name" not in self.mapping:
            raise _undecided("name", "is the name of an item", "--map name=COLUMN", location)
        return BranchSpec.model_validate(
            {
                "name": name,
                "source": name,
                "location": location,
                **written,
                "key": self.key,
                "updated_at": self.updated_at,
                "mapping": self.mapping,
            }
        )


def guess(
    found: Sequence[str],
    *,
    key: str | None = None,
    updated_at: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> Guess:
    """What each of these columns is likely to be; what is said goes before what is guessed.

    Raises SpecInvalid for a column or a field that is not there.
    """
    said = dict(mapping or {})
    _refuse_unknown([*said.values(), *(name for name in (key, updated_at) if name)], found, "column")
    _refuse_unknown(list(said), [name for name in columns() if name != "external_id"], "field")
    free = {_folded(name): name for name in reversed(found) if name not in said.values()}
    key = key or _first(_KEY, free)
    updated_at = updated_at or _first(_UPDATED_AT, free)
    free = {folded: name for folded, name in free.items() if name not in (key, updated_at)}
    guessed = {field: name for field, words in _SYNONYMS.items() if field not in said and (name := _first(words, free))}
    return Guess(key, updated_at, _in_pairs(_in_order({**_once(guessed), **said})))


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _first(words: str, free: Mapping[str, str]) -> str | None:
    return next((free[word] for word in words.split() if word in free), None)


def _once(mapping: dict[str, str]) -> dict[str, str]:
    taken: set[str] = set()
    return {field: name for field, name in mapping.items() if not (name in taken or taken.add(name))}


def _in_order(mapping: dict[str, str]) -> dict[str, str]:
    return {field: mapping[field] for field in columns() if field in mapping}


def _in_pairs(mapping: dict[str, str]) -> dict[str, str]:
    # Half a pair would set every row's value aside; unmapped, it is kept in attributes.
    lonely = {field for pair in _PAIRS for field in pair if len(mapping.keys() & pair) == 1}
    return {field: name for field, name in mapping.items() if field not in lonely}


def _refuse_unknown(names: list[str], known: Sequence[str], kind: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SpecInvalid(
            f"there is no {kind} {', '.join(map(repr, unknown))}; there are: {', '.join(known)}",
            todo="Name one of these.",
        )


def _undecided(what: str, meaning: str, option: str, location: str) -> SpecInvalid:
    return SpecInvalid(
        f"{what}: no column looks as if it {meaning}", where={"location": location}, todo=f"Say it: {option}"
    )
