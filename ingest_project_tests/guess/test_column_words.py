"""Columns by their plain names in other languages and alphabets than those of most exports."""

from itertools import combinations

import pytest

from ingest_project.guess import column_words
from ingest_project.guess.columns import folded_words, guess

# Plain names in other alphabets and languages: key, then fields in this order, as far as a row has them.
_FIELDS = "name category street locality region_name postal_code country_code latitude longitude phone website_url"
ELSEWHERE = {
    "Russian": "ID;Название;Рубрика;Адрес;Город;Область;Индекс;Страна;Широта;Долгота;Телефон;Сайт",
    "Ukrainian": "ID;Назва;Категорія;Адреса;Місто;Область;Поштовий індекс;Країна;Широта;Довгота;Телефон;Сайт",
    "simplified Chinese": "编号;名称;类别;地址;城市;省份;邮政编码;国家;纬度;经度;联系电话;网址",
    "traditional Chinese": "編號;旅館名稱;類別;地址;縣市;省;郵遞區號;國家;緯度;經度;電話;網址",
    "Japanese": "ID;施設名;カテゴリ;住所;市区町村名;都道府県名;郵便番号;国;緯度;経度;電話番号;ホームページ",
    "Korean": "관리번호;이름;업종;주소;시군구;시도;우편번호;국가;위도;경도;전화번호;홈페이지",
    "Arabic": "المعرف;الاسم;الفئة;العنوان;المدينة;المحافظة;الرمز البريدي;الدولة;خط العرض;"
    "خط الطول;الهاتف;الموقع الالكتروني",
    "Persian": "شناسه;نام;دسته;آدرس;مدينة;استان;کد پستی;کشور;عرض جغرافیایی;طول جغرافیایی;تلفن;وب‌سایت",
    "Hebrew": "id;שם;קטגוריה;כתובת;עיר;מחוז;מיקוד;מדינה;קו רוחב;קו אורך;טלפון;אתר",
    "Greek": "id;ΟΝΟΜΑΣΙΑ;Κατηγορία;Διεύθυνση;Πόλη;Νομός;Τ.Κ.;Χώρα;"
    "Γεωγραφικό πλάτος;Γεωγραφικό μήκος;Τηλέφωνο;Ιστοσελίδα",
    "Turkish": "ID;OTEL ADI;Kategori;Adres;Şehir;İl;Posta Kodu;Ülke;Enlem;Boylam;Telefon;Web Sitesi",
    "Polish": "id;Nazwa;Kategoria;Adres;Miejscowość;Województwo;Kod pocztowy;country;Szerokość geograficzna;"
    "Długość geograficzna;Numer telefonu;Strona WWW",
    "Czech": "ID;Název;Kategorie;Adresa;Město;region;PSČ;Země;Zeměpisná šířka;Zeměpisná délka;Telefon;Webová stránka",
    "Vietnamese": "ID;Tên;Danh mục;Địa chỉ;Thành phố;Tỉnh;Mã bưu điện;Quốc gia;Vĩ độ;Kinh độ;Số điện thoại;Trang web",
    "Indonesian": "id;Nama;Kategori;Alamat;Kota;Provinsi;Kode Pos;Negara;Lintang;Bujur;Nomor Telepon;Situs Web",
    "Thai": "id;ชื่อ;ประเภท;ที่อยู่;city;จังหวัด;รหัสไปรษณีย์;ประเทศ;ละติจูด;ลองจิจูด;โทรศัพท์;เว็บไซต์",
    "Danish": "id;Navn;Kategori;Adresse;Bynavn;region;Postnr.;Land;Breddegrad;Længdegrad;Telefonnr.;Hjemmeside",
}


@pytest.mark.parametrize("names", ELSEWHERE.values(), ids=ELSEWHERE)
def test_columns_in_other_languages(names: str) -> None:
    key, *fields = names.split(";")
    made = guess([key, *fields])
    assert (made.key, made.mapping) == (key, dict(zip(_FIELDS.split(), fields, strict=True)))


def test_a_word_is_that_of_one_field() -> None:
    folded = {field: set(folded_words(words)) for field, words in column_words.FIELDS.items()}
    shared = {(one, other): both for (one, had), (other, has) in combinations(folded.items(), 2) if (both := had & has)}
    assert shared == {("status", "region_name"): {"estado"}}  # Spanish for either: a state goes with what is a status
