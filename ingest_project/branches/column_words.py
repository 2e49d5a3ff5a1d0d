"""What columns are called, by item field: schema.org, Overture, OpenStreetMap, usual exports, in seven languages.

Folded: lower case, no accents, letters and digits only, what stands in brackets left out. The first is the likeliest.
"""

KEY = (
    "id externalid uuid guid identifier key placeid osmid gersid fsqplaceid fsqid recordid itemid objectid "
    "businessid stopid listingid hotelid storeid locationid propertyid venueid poiid siteid shopid branchid "
    "facilityid schoolid fhrsid licenseid licenceid geonameid uniqueid fid gid sku urn kunnr identifiant kennung "
    "kundennr kundennummer objektnr objektid filialnr identificador identifiantdeletablissement storenumber siret cnpj "
    "cuit"
)
# These may be a number of anything: keys only where the first rows all differ in them.
PERHAPS_KEY = "code codigo codice cod numero nummer number ref reference"
UPDATED_AT = (
    "updatedat updated lastupdated lastupdate updatetime dateupdated modifiedat modified datemodified "
    "lastmodified changedat changed timestamp daterefreshed modificationdate lastscraped lastmodifieddate "
    "updatedon modifiedon geandertam geandert aktualisiertam datemaj datedemiseajour datemodification "
    "fechaactualizacion fechadeactualizacion dataaggiornamento gewijzigdop dataatualizacao"
)
FIELDS = {
    "name": (
        "name title label displayname placename businessname namesprimary namescommon0 doingbusinessasname "
        "dbaname dba doingbusinessas tradingname companyname storename facilityname stopname hotelname schoolname "
        "venuename propertyname listingname establishmentname locationname shopname objektname nametext "
        "displaynametext name1 bezeichnung firma firmenname nom denomination raisonsociale enseigne nombre razonsocial "
        "nombrecomercial denominazione ragionesociale insegna nome naam bedrijfsnaam nomefantasia razaosocial "
        "legalname titel titre titulo titolo nometablissement nomentreprise nomestab propheading headline hotel"
    ),
    "category": (
        "category amenity shop kind primarycategory primarytype categoriesprimary categoryname fclass "
        "facilitytype type businesstype propertytype class roomtype featurecode subtype licensedescription "
        "kategorie branche categorie categoria rubrik art tipo fsqcategorylabels0 types0 categories0title "
        "categories0name categories0 categories"
    ),
    "description": (
        "description about summary desc details stopdesc beschreibung descripcion descrizione omschrijving descricao"
    ),
    "status": ("status operatingstatus businessstatus licensestatus establishmentstatus statut estado stato situacao"),
    "street": (
        "street streetaddress addrstreet addressline1 address1 addr1 addressline address streetname freeform "
        "strasse strassenname stras str adresse adresseligne1 rue voie direccion domicilio calle indirizzo via "
        "straat straatnaam endereco logradouro rua anschrift fulladdress formattedaddress addressfull vicinity"
    ),
    "house_number": (
        "housenumber houseno addrhousenumber streetnumber buildingnumber hausnummer hausnr hsnr civico "
        "numerocivico huisnummer huisnr numerovoie numero"
    ),
    "unit": "unit suite apartment addrunit addressline2 address2 addr2 flat toevoeging complemento adresseligne2",
    "po_box": "pobox postofficeboxnumber postbox postfach boitepostale apartadopostal",
    "sublocality": (
        "sublocality neighbourhoodcleansed neighborhood neighbourhood suburb district borough dependentlocality "
        "addrsuburb ortsteil stadtteil quartier barrio quartiere wijk bairro"
    ),
    "locality": (
        "locality city addresslocality addrcity cityname town towncity municipality village posttown place ort "
        "ort01 stadt wohnort ville commune ciudad poblacion localidad municipio comune citta plaats woonplaats "
        "gemeente cidade"
    ),
    "region_code": "regioncode isoregion statecode provincecode iso31662 uf",
    "region_name": (
        "regionname region addressregion state province stateprovince stateprov addrstate administrativearea "
        "statename county bundesland regione provincia provincie departement estado regio"
    ),
    "postal_code": (
        "postalcode postcode zip zipcode addrpostcode postal plz postleitzahl pstlz codepostal cp codigopostal "
        "cap codiceavviamentopostale cep"
    ),
    "country_code": (
        "countrycode isocountry country addresscountry addrcountry countryname addresscountryname iso2 land land1 "
        "staat pays pais nazione paese"
    ),
    "latitude": (
        "latitude lat latitudedeg latdeg decimallatitude geolat latitudewgs84 y stoplat geolatitude "
        "geocoordinates1 geometrycoordinates1 locationcoordinates1 coordinates1 breitengrad breite geobreite latitud "
        "latitudine breedtegraad bboxymin"
    ),
    "longitude": (
        "longitude lon lng long longitudedeg londeg lngdeg decimallongitude geolon geolng longitudewgs84 x "
        "stoplon geolongitude geocoordinates0 geometrycoordinates0 locationcoordinates0 coordinates0 langengrad "
        "laengengrad lange laenge geolaenge longitud longitudine lengtegraad bboxxmin"
    ),
    "phone": (
        "phone telephone tel phonenumber internationalphonenumber contactphone mobile telephonenumber "
        "telephonenum phones0 formattedphonenumber nationalphonenumber telefon telefonnummer telf1 telefono "
        "telefoon telefone numerodetelephone displayphone"
    ),
    "phone_ext": "phoneext phoneextension extension ext durchwahl",
    "website_url": (
        "website websiteurl url web homepage contactwebsite site link stopurl listingurl websites0 webseite "
        "internet siteweb sitioweb paginaweb sitoweb schoolwebsite websiteuri webadres"
    ),
    "price": "price listprice amount cost entryprice fee rate minrate preis prix precio prezzo prijs preco",
    "currency": "currency pricecurrency currencycode wahrung waehrung devise moneda valuta moeda",
}
# A place in one column: text, WKT, GeoJSON or WKB.
POINTS = (
    "latlong latlng latlon latitudelongitude coordinates coordinate coords gps gpscoordinates geopoint geopoint2d "
    "point geo geometry geom thegeom wkt wktgeometry geolocation location georeference lieu koordinaten coordonnees "
    "coordenadas"
)
# Under these, a value inside another is named by its own name alone: geo.latitude, geometry.location.lat, tags.name.
PARENTS = (
    "0 properties tags address addresses addr location geo geometry geoloc coordinates coords position latlng "
    "point center centroid contact contacts names fields attributes price offers country addresscountry"
)
# The locale of numbers with a decimal comma: the language that has most of these among its columns, German first.
LANGUAGES = {
    "de": "strasse plz ort postleitzahl bundesland telefon breite breitengrad anschrift preis",
    "fr": "codepostal ville pays adresse commune prix raisonsociale",
    "es": "codigopostal ciudad direccion poblacion precio latitud provincia nombre",
    "it": "indirizzo cap comune nazione prezzo latitudine denominazione",
    "nl": "plaats huisnummer straatnaam breedtegraad prijs naam",
    "pt": "cidade cep endereco preco bairro nome",
}
