"""The names that columns have, by item field: of schema.org, Overture, OpenStreetMap, usual exports, in many languages.

They are compared by letters and digits only, without case, accents and what stands in brackets. The first is the
likeliest. A word that means one thing in one language and another in another (`kraj`, `szerokość`) is in no list.
"""

KEY = (
    "id externalid uuid guid identifier key placeid osmid gersid fsqplaceid fsqid recordid itemid objectid "
    "businessid stopid listingid hotelid storeid locationid propertyid venueid poiid siteid shopid branchid "
    "facilityid schoolid fhrsid licenseid licenceid geonameid uniqueid fid gid sku urn kunnr identifiant kennung "
    "kundennr kundennummer objektnr objektid filialnr identificador identifiantdeletablissement storenumber siret "
    "cnpj cuit accountid camis npi unitid 編號 编号 管理番号 施設番号 관리번호 идентификатор المعرف شناسه"
)
# These may be a number of anything: keys only where the first rows all differ in them.
PERHAPS_KEY = "code codigo codice cod numero nummer number ref reference код номер 代码 代碼 番号 번호 رقم kod κωδικός"
UPDATED_AT = (
    "updatedat updated lastupdated lastupdate updatetime dateupdated modifiedat modified datemodified "
    "lastmodified changedat changed timestamp daterefreshed modificationdate lastscraped lastmodifieddate "
    "updatedon modifiedon lastupdatedate zuletztgeandert "
    "geandertam geandert aktualisiertam datemaj datedemiseajour datemodification "
    "fechaactualizacion fechadeactualizacion dataaggiornamento gewijzigdop dataatualizacao датаобновления "
    "датаизменения обновлено датаоновлення 更新时间 更新日期 修改时间 更新時間 更新日時 更新日 수정일 수정일시 "
    "최종수정시점 데이터기준일자 تاريخالتحديث guncellemetarihi datumaktualizace dataaktualizacji uppdaterad "
    "opdateret oppdatert"
)
FIELDS = {
    "name": (
        "name title label displayname placename businessname namesprimary namescommon0 doingbusinessasname "
        "dbaname dba doingbusinessas tradingname companyname storename facilityname stopname hotelname schoolname "
        "venuename propertyname listingname establishmentname locationname shopname objektname nametext "
        "displaynametext name1 bezeichnung firma firmenname nom denomination raisonsociale enseigne nombre "
        "razonsocial nombrecomercial denominazione ragionesociale insegna nome naam bedrijfsnaam nomefantasia "
        "razaosocial legalname titel titre titulo titolo nometablissement nomentreprise nomestab propheading "
        "headline hotel accountname itemlabel instnm rotulo denominationusuelleetablissement "
        "название наименование полноенаименование наименованиеорганизации "
        "названиеорганизации назва найменування име имя назив nazwa nazwafirmy název názov naziv név denumire adı "
        "isim unvan işletmeadı firmaadı oteladı tên tênquán ονομασία όνομα επωνυμία nama namn navn nimi nafn "
        "pavadinimas nosaukums 名称 名字 店名 商户名称 门店名称 企业名称 公司名称 酒店名称 名稱 旅館名稱 商店名稱 "
        "公司名稱 施設名 施設名称 店舗名 名前 이름 명칭 상호 상호명 사업장명 업소명 시설명 업체명 الاسم اسم "
        "اسمالمنشأة نام שם ชื่อ"
    ),
    "category": (
        "category amenity shop kind primarycategory primarytype categoriesprimary categoryname fclass "
        "facilitytype type businesstype propertytype class roomtype featurecode subtype licensedescription "
        "kategorie branche categorie categoria rubrik art tipo fsqcategorylabels0 types0 categories0title "
        "categories0name categories0 categories категория рубрика категорія kategoria kategori danhmục loại "
        "κατηγορία 类别 分类 类型 行业 類別 分類 類型 カテゴリ カテゴリー 業種 種別 업종 업태 업태구분명 분류 "
        "카테고리 الفئة النوع التصنيف دسته קטגוריה ประเภท"
    ),
    "description": (
        "description about summary desc details stopdesc beschreibung descripcion descrizione omschrijving "
        "descricao описание опис opis popis leírás descriere açıklama môtả περιγραφή deskripsi beskrivning "
        "beskrivelse kuvaus 描述 简介 簡介 説明 概要 설명 الوصف وصف توضیحات תיאור"
    ),
    "status": ("status operatingstatus businessstatus licensestatus establishmentstatus statut estado stato situacao"),
    "street": (
        "street streetaddress addrstreet billingstreet addressline1 address1 addr1 addressline address streetname "
        "freeform strasse strassenname stras str adresse adresseligne1 rue voie direccion domicilio calle "
        "indirizzo via straat straatnaam endereco logradouro rua anschrift fulladdress formattedaddress "
        "addressfull vicinity addr libellevoieetablissement "
        "улица адрес полныйадрес вулиця адреса ulica adres ulice adresa strada cím utca "
        "adresi cadde sokak địachỉ đường οδός διεύθυνση alamat gatuadress adress gata vej vejnavn osoite katuosoite "
        "aadress adresas adrese 地址 详细地址 詳細地址 住所 所在地 도로명주소 도로명전체주소 소재지도로명주소 "
        "주소 소재지전체주소 العنوان عنوان الشارع نشانی آدرس כתובת רחוב ที่อยู่"
    ),
    "house_number": (
        "housenumber houseno addrhousenumber streetnumber buildingnumber hausnummer hausnr hsnr civico "
        "numerocivico huisnummer huisnr numerovoie numerovoieetablissement "
        "numero дом номердома будинок 门牌号 門牌號 番地 номернадому "
        "nrdomu číslopopisné kapıno husnummer"
    ),
    "unit": "unit suite apartment addrunit addressline2 address2 addr2 flat toevoeging complemento adresseligne2",
    "po_box": "pobox postofficeboxnumber postbox postfach boitepostale apartadopostal",
    "sublocality": (
        "sublocality neighbourhoodcleansed neighborhood neighbourhood suburb district borough dependentlocality "
        "addrsuburb ortsteil stadtteil quartier barrio quartiere wijk bairro район dzielnica mahalle semt ilçe "
        "quận phường 区县 行政区 區 鄉鎮市區 街道 읍면동 الحي محله שכונה"
    ),
    "locality": (
        "locality city addresslocality addrcity cityname cityhotel billingcity town towncity municipality village "
        "posttown place ort ort01 stadt wohnort ville commune ciudad poblacion localidad municipio comune citta "
        "plaats woonplaats gemeente cidade libellecommuneetablissement "
        "город населенныйпункт місто miasto miejscowość město mjesto város "
        "település oraș localitate şehir thànhphố πόλη δήμος kota stad poststed bynavn kaupunki postitoimipaikka "
        "linn miestas pilsēta staður 城市 市 縣市 市区町村 市区町村名 시군구 시군구명 المدينة مدينة עיר"
    ),
    "region_code": "regioncode isoregion statecode provincecode iso31662 uf",
    "region_name": (
        "regionname region addressregion state province stateprovince stateprov addrstate administrativearea "
        "statename billingstate billingstateprovince county bundesland regione provincia provincie departement "
        "estado regio stateregion stabbr "
        "область регион субъектрф регіон województwo judeţ megye tỉnh tỉnhthành νομός provinsi lääni "
        "il 省 省份 都道府県 都道府県名 시도 시도명 المحافظة استان מחוז จังหวัด kanton canton"
    ),
    "postal_code": (
        "postalcode postcode zip zipcode addrpostcode postal billingpostalcode billingzippostalcode plz "
        "pincode postleitzahl pstlz codepostal codepostaletablissement "
        "cp codigopostal cap codiceavviamentopostale cep индекс почтовыйиндекс "
        "поштовийіндекс пощенскикод kodpocztowy psč irányítószám codpoștal postakodu poštanskibroj poštnaštevilka "
        "mãbưuđiện mãbưuchính ταχυδρομικόςκώδικας τκ kodepos postnummer postnr póstnúmer postinumero 邮编 "
        "邮政编码 郵遞區號 郵便番号 우편번호 도로명우편번호 الرمزالبريدي کدپستی מיקוד รหัสไปรษณีย์"
    ),
    "country_code": (
        "countrycode cc1 isocountry country addresscountry addrcountry countryname addresscountryname "
        "countryregion countrylabel "
        "billingcountry iso2 land land1 staat pays pais nazione paese страна країна държава ország země țară ülke "
        "quốcgia χώρα negara maa riik šalis valsts 国家 國家 国 国名 국가 الدولة البلد کشور מדינה država ประเทศ"
    ),
    "latitude": (
        "latitude lat latitudedeg latdeg decimallatitude geolat latitudewgs84 y stoplat geolatitude "
        "geocoordinates1 geometrycoordinates1 locationcoordinates1 coordinates1 breitengrad breite geobreite "
        "latitud latitudine breedtegraad bboxymin широта географическаяширота географскаширина "
        "szerokośćgeograficzna zeměpisnášířka szélességifok földrajziszélesség enlem "
        "vĩđộ γεωγραφικόπλάτος lintang garislintang breddgrad breddegrad leveysaste laiuskraad 纬度 緯度 위도 "
        "خطالعرض دائرةالعرض عرضجغرافیایی קורוחב zemljopisnaširina ละติจูด"
    ),
    "longitude": (
        "longitude lon lng long longitudedeg londeg lngdeg decimallongitude geolon geolng longitudewgs84 x "
        "stoplon geolongitude geocoordinates0 geometrycoordinates0 locationcoordinates0 coordinates0 langengrad "
        "laengengrad lange laenge geolaenge longitud longitudine lengtegraad bboxxmin долгота "
        "географическаядолгота довгота географскадължина długośćgeograficzna zeměpisnádélka hosszúságifok "
        "földrajzihosszúság boylam kinhđộ γεωγραφικόμήκος bujur garisbujur längdgrad længdegrad lengdegrad "
        "pituusaste pikkuskraad 经度 經度 経度 경도 خطالطول طولجغرافیایی קואורך zemljopisnadužina ลองจิจูด"
    ),
    "phone": (
        "phone telephone tel phonenumber internationalphonenumber contactphone mobile telephonenumber phone1 tel1 "
        "telephonenum phones0 formattedphonenumber nationalphonenumber telefon telefonnummer telf1 telefono "
        "telefon1 telefono1 telefone1 "
        "telefoon telefone numerodetelephone displayphone телефон телефоны номертелефона контактныйтелефон "
        "numertelefonu telefonszám telefonnumer telefonu telefonno sốđiệnthoại điệnthoại τηλέφωνο telepon nomortelepon "
        "puhelin puhelinnumero sími tālrunis telefonas telefonnr 电话 联系电话 电话号码 手机 電話 聯絡電話 "
        "電話號碼 電話番号 전화번호 전화 연락처 소재지전화 الهاتف هاتف رقمالهاتف الجوال تلفن טלפון "
        "โทรศัพท์ เบอร์โทรศัพท์"
    ),
    "phone_ext": "phoneext phoneextension extension ext durchwahl доб внутреннийномер 分机 分機 内線番号 내선번호",
    "website_url": (
        "website websiteurl url web homepage contactwebsite site link stopurl listingurl websites0 webseite "
        "internet sito webaddr "
        "siteweb sitioweb paginaweb sitoweb schoolwebsite websiteuri webadres www сайт вебсайт stronawww "
        "stronainternetowa webovástránka websitesi webadresi trangweb ιστοσελίδα situsweb hemsida webbplats "
        "hjemmeside nettside verkkosivu vefsíða 网址 网站 官网 網址 網站 ホームページ ウェブサイト 홈페이지 "
        "웹사이트 الموقعالإلكتروني وبسایت אתר เว็บไซต์"
    ),
    "price": (
        "price listprice amount cost entryprice fee rate minrate preis prix precio prezzo prijs preco цена "
        "стоимость ціна cena preţ fiyat giá τιμή harga hinta verð 价格 價格 価格 料金 가격 السعر قیمت מחיר ราคา"
    ),
    "currency": (
        "currency pricecurrency currencycode accountcurrency wahrung waehrung devise moneda valuta moeda валюта "
        "waluta měna pénznem parabirimi đơnvịtiềntệ νόμισμα matauang valuuta 币种 货币 幣別 貨幣 通貨 통화 العملة "
        "מטבע"
    ),
}
# A place in one column: text, WKT, GeoJSON or WKB.
POINTS = (
    "latlong latlng latlon latitudelongitude coordinates coordinate coords gps gpscoordinates geopoint geopoint2d "
    "coord locationcoordinates "
    "point geo geometry geom thegeom wkt wktgeometry geolocation location georeference lieu koordinaten coordonnees "
    "coordenadas координаты 坐标 座標 좌표 الإحداثيات współrzędne souřadnice"
)
# Under these, a value inside another is named by its own name alone: geo.latitude, geometry.location.lat, tags.name.
PARENTS = (
    "0 properties tags address addresses addr location geo geometry geoloc coordinates coords position latlng "
    "point center centroid contact contacts names fields attributes price offers country addresscountry "
    "billingaddress shippingaddress postaladdress mailingaddress registeredaddress regaddress streetaddress "
    "deliveryaddress visitingaddress businessaddress homeaddress officeaddress storeaddress physicaladdress"
)
# The locale of numbers with a decimal comma: the language that has most of these among its columns, German first.
LANGUAGES = {
    "de": "strasse plz ort postleitzahl bundesland telefon breite breitengrad anschrift preis",
    "fr": "codepostal ville pays adresse commune prix raisonsociale",
    "es": "codigopostal ciudad direccion poblacion precio latitud provincia nombre",
    "it": "indirizzo cap comune nazione prezzo latitudine denominazione",
    "nl": "plaats huisnummer straatnaam breedtegraad prijs naam",
    "pt": "cidade cep endereco preco bairro nome",
    "ru": "название наименование адрес город широта долгота телефон цена страна индекс",
    "uk": "назва місто адреса ціна країна довгота",
    "pl": "nazwa miasto adres ulica cena kodpocztowy",
    "cs": "název město adresa ulice cena psč",
    "hu": "név cím város irányítószám telefonszám",
    "ro": "denumire adresa oraş preţ judeţ",
    "tr": "adı adres şehir fiyat enlem boylam ilçe",
    "el": "όνομα ονομασία διεύθυνση πόλη τιμή τηλέφωνο",
    "vi": "tên địachỉ giá vĩđộ kinhđộ",
    "id": "nama alamat kota harga lintang bujur",
    "sv": "namn gatuadress postnummer stad breddgrad hemsida",
    "da": "navn vejnavn postnr hjemmeside breddegrad",
    "fi": "nimi osoite kaupunki hinta puhelin leveysaste",
}
