"""Whether coordinates can be in a country, by bounding boxes of each country, its islands and its territories.

A box is larger than what is in it, so that only places far from their country are recognized. Boxes end at the 180th
meridian: a country on both sides of it has one on either side.
"""

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

BOXES = Path(__file__).with_name("country_boxes.csv")
# Degrees around a box that count as near: harbours, platforms at sea, disputed borders.
MARGIN = 1.0
_MARGINS = np.array([-MARGIN, -MARGIN, MARGIN, MARGIN])

Box = tuple[float, float, float, float]  # south, west, north, east
_WORLD: Box = (-90.0, -180.0, 90.0, 180.0)
_NOWHERE: Box = (np.inf, np.inf, -np.inf, -np.inf)


@cache
def _table() -> dict[str, tuple[Box, ...]]:
    by_country: dict[str, list[Box]] = defaultdict(list)
    with BOXES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            south, west, north, east = (float(row[side]) for side in ("south", "west", "north", "east"))
            by_country[row["country"]].append((south, west, north, east))
    return {country: tuple(boxes) for country, boxes in by_country.items()}


def boxes(country: str | None) -> tuple[Box, ...]:
    """The boxes of a country, its mainland first; the whole world if there is no country."""
    return _table()[country] if country else (_WORLD,)


def is_inside(country: str, latitude: float, longitude: float) -> bool:
    """Whether a place is in one of the country's boxes."""
    return any(south <= latitude <= north and west <= longitude <= east for south, west, north, east in boxes(country))


def is_near(country: str | None, latitude: float, longitude: float) -> bool:
    """Whether a place is in the country or near it; true if there is no country."""
    return any(
        south - MARGIN <= latitude <= north + MARGIN and west - MARGIN <= longitude <= east + MARGIN
        for south, west, north, east in boxes(country)
    )


def accepted_near(country: pa.Array, latitude: pa.Array, longitude: pa.Array) -> pa.Array:
    """`is_near` of each row; False if a coordinate is missing."""
    encoded = country.dictionary_encode(null_encoding="encode")
    boxes_of_countries = [boxes(code) for code in encoded.dictionary.to_pylist()]
    country_index = encoded.indices.to_numpy(zero_copy_only=False)
    latitudes, longitudes = (array.to_numpy(zero_copy_only=False) for array in (latitude, longitude))
    near = np.zeros(len(country_index), bool)
    rest = np.arange(len(country_index))
    # The first box of each country, then the second, and so on: nearly all rows are in the first.
    for nth in range(max(map(len, boxes_of_countries), default=0)):
        nth_boxes = np.array([several[nth] if nth < len(several) else _NOWHERE for several in boxes_of_countries])
        box = (nth_boxes + _MARGINS)[country_index[rest]]
        hit = (box[:, 0] <= latitudes[rest]) & (latitudes[rest] <= box[:, 2])
        hit &= (box[:, 1] <= longitudes[rest]) & (longitudes[rest] <= box[:, 3])
        near[rest[hit]] = True
        rest = rest[~hit]
    return pa.array(near)
