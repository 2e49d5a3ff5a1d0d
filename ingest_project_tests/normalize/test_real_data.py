"""Real tables that nobody here wrote: nothing crashes, nothing is lost, nothing is taken for something else."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pycountry
import pytest

from ingest_project.item import Item, columns
from ingest_project.normalize import address
from ingest_project.normalize.part import normalize_part
from ingest_project_tests.normalize.pages import numbered, part, rows_of, spec

NAVAIDS = {"2021-11-02": 11_021, "2025-02-16": 11_016, "2026-07-30": 11_008}
NAVAID = {
    "name": "name",
    "category": "type",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
    "country_code": "iso_country",
}
REGION = {"name": "name", "region_code": "code", "region_name": "name", "country_code": "iso_country"}
# Codes and names of that list which are no country of ISO 3166, or say more than a name.
NO_CODES = {"XP", "ZZ"}
NO_NAMES = {"EH", "HM", "XP", "ZZ"}
PERHAPS_NO_NAME = {"TF"}  # newer data of names knows the one that the list has


def _read(path: Path) -> pa.Table:
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False, null_values=[]
    )
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    return arrow_csv.read_csv(path, parse_options=parse, convert_options=convert)


@pytest.fixture(scope="session", params=sorted(NAVAIDS))
def navaids(real_data: Path, request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """(date, rows of the source, items) of a real branch."""
    table = _read(real_data / "ourairports" / f"navaids_{request.param}.csv")
    made = normalize_part(numbered(table), spec(mapping=NAVAID, key="id"))
    assert made.rejects == []
    return request.param, table.to_pylist(), made.items.to_pylist()


Navaids = tuple[str, list[dict[str, Any]], list[dict[str, Any]]]


def test_every_navaid_is_an_item(navaids: Navaids) -> None:
    date, rows, items = navaids
    assert len(items) == len(rows) == NAVAIDS[date]
    assert [item["external_id"] for item in items] == [row["id"] for row in rows]


def test_a_navaid_says_what_its_row_said(navaids: Navaids) -> None:
    _, rows, items = navaids
    for row, item in zip(rows, items, strict=True):
        assert item["name"] == " ".join(row["name"].split())
        assert (item["category"], item["country_code"]) == (row["type"], row["iso_country"])
        assert (item["latitude"], item["longitude"]) == (float(row["latitude_deg"]), float(row["longitude_deg"]))


def test_navaids_need_next_to_no_issue(navaids: Navaids) -> None:
    _, _, items = navaids
    codes = Counter((issue["field"], issue["code"]) for item in items for issue in json.loads(item["issues"]))
    away = len(_strays(items))
    places = {(field, "coordinates_elsewhere"): away for field in ("latitude", "longitude")}
    assert codes == {("name", "whitespace_folded"): 1, **places}


def test_navaids_far_from_their_country_are_mistakes_of_the_source(navaids: Navaids) -> None:
    date, _, items = navaids
    # French islands of the Indian Ocean and a platform in the Norwegian sea; later Rize, said to be in Tunisia.
    known = {"FXJ", "FXT", "FXZ", "DON"}
    assert _strays(items) == known | ({"ART"} if date > "2022" else set())


def _strays(items: list[dict[str, Any]]) -> set[str]:
    return {json.loads(item["attributes"])["ident"] for item in items if "coordinates_elsewhere" in item["issues"]}


def test_navaids_with_swapped_coordinates_are_put_right_or_told(real_data: Path) -> None:
    table = _read(real_data / "ourairports" / "navaids_2021-11-02.csv")
    crossed = {**NAVAID, "latitude": "longitude_deg", "longitude": "latitude_deg"}
    truth, made = (normalize_part(numbered(table), spec(mapping=one, key="id")).items for one in (NAVAID, crossed))
    right = sum(
        (one["latitude"], one["longitude"]) == (other["latitude"], other["longitude"])
        for one, other in zip(truth.to_pylist(), made.to_pylist(), strict=True)
    )
    assert right > 0.9 * len(truth)


def test_namibia_is_no_null(navaids: Navaids) -> None:
    _, rows, items = navaids
    assert sum(item["country_code"] == "NA" for item in items) == 15
    idents = [json.loads(item["attributes"]).get("ident") for item in items]
    assert idents.count("NA") == sum(row["ident"] == "NA" for row in rows) == 13


def test_the_other_columns_of_a_navaid_are_all_kept(navaids: Navaids) -> None:
    _, rows, items = navaids
    used = {"id", *NAVAID.values()}
    for row, item in zip(rows, items, strict=True):
        assert json.loads(item["attributes"]) == {name: text for name, text in row.items() if name not in used and text}


def test_navaids_are_accepted_by_the_declaration(navaids: Navaids) -> None:
    for item in navaids[2]:
        values = {name: item[name] for name in columns()}
        assert Item.model_validate(values).model_dump() == values


def test_unchanged_navaids_keep_their_content_hash(real_data: Path) -> None:
    hashes: list[dict[str, str]] = []
    texts: list[dict[str, dict[str, Any]]] = []
    for date in ("2021-11-02", "2025-02-16"):
        table = _read(real_data / "ourairports" / f"navaids_{date}.csv")
        items = normalize_part(numbered(table), spec(mapping=NAVAID, key="id")).items
        hashes.append(dict(zip(items["external_id"].to_pylist(), items["content_hash"].to_pylist(), strict=True)))
        texts.append({row["id"]: row for row in table.to_pylist()})
    common = set(hashes[0]) & set(hashes[1])
    changed = {key for key in common if texts[0][key] != texts[1][key]}
    assert (len(common), len(changed)) == (11_012, 42)
    assert {key for key in common if hashes[0][key] != hashes[1][key]} == changed


def test_every_country_is_found_by_its_code_and_its_name(real_data: Path) -> None:
    rows = _read(real_data / "ourairports" / "countries.csv").to_pylist()
    assert len(rows) > 240
    assert {row["code"] for row in rows if address.country(row["code"]).values != (row["code"],)} == NO_CODES
    missed = {row["code"] for row in rows if address.country(row["name"]).values != (row["code"],)}
    assert missed - PERHAPS_NO_NAME == NO_NAMES


def test_no_country_s_name_is_taken_for_another_country(real_data: Path) -> None:
    rows = _read(real_data / "ourairports" / "countries.csv").to_pylist()
    assert {address.country(row["name"]).values[0] or row["code"] for row in rows} == {row["code"] for row in rows}


@pytest.mark.parametrize(("date", "count"), [("2026-01-01", 3_942), ("2026-08-22", 3_987)])
def test_a_region_code_is_kept_or_set_aside_never_another(real_data: Path, date: str, count: int) -> None:
    table = _read(real_data / "ourairports" / f"regions_{date}.csv")
    made = normalize_part(numbered(table), spec(mapping=REGION, key="id"))
    assert (made.items.num_rows, made.rejects) == (count, [])
    known = {division.code for division in pycountry.subdivisions}
    for row, item in zip(table.to_pylist(), rows_of(made), strict=True):
        here = row["code"] in known
        assert item["region_code"] == (row["code"] if here else None)
        assert ("region_code: region_unknown" in item.codes) == (not here)
        assert item["region_name"] == " ".join(row["name"].split()).replace("\x9e", "ž")  # Slovenia, read as Latin-1


def test_most_real_region_codes_are_known(real_data: Path) -> None:
    table = _read(real_data / "ourairports" / "regions_2026-08-22.csv")
    found = normalize_part(numbered(table), spec(mapping=REGION, key="id")).items["region_code"]
    assert found.null_count < 0.16 * len(found)  # 249 of them are `unassigned`


def _addresses(real_data: Path) -> list[str]:
    lines = [
        line
        for name in ("parse", "expand")
        for line in (real_data / "libpostal" / f"{name}_cases.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return [json.loads(line)["input"] for line in lines]


def test_real_addresses_survive_unchanged_but_for_white_space(real_data: Path) -> None:
    texts = _addresses(real_data)
    assert len(texts) == 49 + 89
    found = rows_of(part({"street": texts}))
    assert [one["street"] for one in found] == [" ".join(text.split()) for text in texts]
    dirty = [one.codes for one, text in zip(found, texts, strict=True) if one["street"] != text]
    assert dirty == [["street: whitespace_folded"]]


def test_a_real_address_in_a_description_keeps_its_lines(real_data: Path) -> None:
    texts = [text for text in _addresses(real_data) if "\n" in text]
    assert [one["description"] for one in rows_of(part({"description": texts}))] == texts
