"""Pictures are well-formed SVG that a data URI can hold, whatever is in them, and small whatever its size."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.defs import pictures
from ingest_project.defs.pictures import WIDTH, bars, image, map_of, proportions

COLOURS = {"a": "#111111", "b": "#222222", "c": "#333333"}
SVG = "{http://www.w3.org/2000/svg}"
places = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=60)


def parsed(picture: str) -> ET.Element:
    """The picture as a browser parses it."""
    root = ET.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    assert 0 < float(root.attrib["height"]) < 2000
    return root


def texts(root: ET.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def dots(root: ET.Element) -> list[tuple[float, float]]:
    found = [node.attrib["d"] for node in root.iter(f"{SVG}path") if node.attrib.get("class") == "dot"]
    return [(float(x), float(y)) for d in found for x, y in re.findall(r"M(-?\d+) (-?\d+)h0", d)]


def test_a_picture_in_markdown_is_a_data_uri_with_words() -> None:
    text = image("<svg/>", "3 inserted")
    found = re.fullmatch(r"!\[3 inserted\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)
    assert found
    assert base64.b64decode(found[1]) == b"<svg/>"


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**12)))
def test_proportions_fill_the_bar_and_name_what_there_is(shares: dict[str, int]) -> None:
    root = parsed(proportions(shares, COLOURS))
    assert texts(root) == [f"{name} {count:,}" for name, count in shares.items() if count]
    bar = [node for node in root.iter(f"{SVG}rect") if node.attrib.get("y") == "12.0"]
    ends = [float(node.attrib["x"]) + float(node.attrib["width"]) for node in bar]
    assert all(end <= WIDTH - 12 + 0.2 for end in ends)


@given(st.dictionaries(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"])), st.integers(1, 10**9)))
def test_bars_are_as_long_as_their_counts(counts: dict[str, int]) -> None:
    root = parsed(bars(counts, "#000000"))
    widths = [float(node.attrib["width"]) for node in root.iter(f"{SVG}rect") if node.attrib.get("fill") == "#000000"]
    assert len(widths) == len(counts)
    assert max(widths, default=400) == 400
    by_count = [width for _, width in sorted(zip(counts.values(), widths, strict=True))]
    assert by_count == sorted(by_count)


@given(places)
def test_every_place_is_on_the_map(found: list[tuple[float, float]]) -> None:
    root = parsed(map_of({"a": found}, COLOURS))
    height = float(root.attrib["height"]) - 26
    assert dots(root)
    assert all(-3 <= x <= WIDTH + 3 and -3 <= y <= height + 3 for x, y in dots(root))


def test_north_is_up_and_east_is_right() -> None:
    ((west, south),) = dots(parsed(map_of({"a": [(0.0, 0.0)], "b": []}, COLOURS)))
    (first, second) = dots(parsed(map_of({"a": [(10.0, 10.0)], "b": [(20.0, 30.0)]}, COLOURS)))
    assert first[0] < second[0]
    assert first[1] > second[1]
    assert abs(west - WIDTH / 2) <= 4
    assert south > 0


def test_a_million_places_are_a_small_picture() -> None:
    grid = [(at % 1000 / 10 - 50, at // 1000 / 3 - 150) for at in range(0, 1_000_000, 7)]
    assert len(map_of({"a": grid}, COLOURS)) < 250_000
    city = [(52.5 + at / 1e6, 13.4) for at in range(10_000)]
    assert len(dots(parsed(map_of({"a": city}, COLOURS)))) < 200


def test_land_is_shown_where_its_outline_says_something() -> None:
    world = map_of({"a": [(-40.0, -100.0), (60.0, 140.0)]}, COLOURS)
    city = map_of({"a": [(52.5, 13.4), (52.6, 13.5)]}, COLOURS)
    assert "transform=" in world
    assert "transform=" not in city
    europe = map_of({"a": [(40.0, 0.0), (60.0, 20.0)]}, COLOURS)
    assert len(europe) < len(world)


@pytest.mark.parametrize(
    ("found", "labels"),
    [
        ([(52.5, 13.4), (52.6, 13.5)], {"13.4°E", "52.55°N"}),
        ([(-40.0, -100.0), (60.0, 140.0)], {"60°W", "0°", "30°S"}),
        ([(0.0, 179.9)], {"179.9°E"}),
    ],
)
def test_the_graticule_says_where(found: list[tuple[float, float]], labels: set[str]) -> None:
    assert labels <= set(texts(parsed(map_of({"a": found}, COLOURS))))


@pytest.mark.parametrize(
    ("island", "west", "east", "south", "north"),
    [("Iceland", -24.5, -13.5, 63.4, 66.5), ("Madagascar", 43.3, 50.5, -25.6, -12.0)],
)
def test_islands_lie_where_they_lie(island: str, west: float, east: float, south: float, north: float) -> None:
    boxes = [box for _, box in pictures._shapes()]  # pyright: ignore[reportPrivateUsage]
    assert (west, east, south, north) in [pytest.approx(box, abs=0.3) for box in boxes], island
