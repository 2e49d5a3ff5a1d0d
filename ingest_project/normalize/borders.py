"""What a row's country says about its place: by boxes around each country, its islands and its territories.

A box is larger than its country, so that it can only tell what is far away. The boxes end at the 180th meridian:
a country on both sides of it has one on either side.
"""

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

BOXES = Path(__file__).with_name("country_boxes.csv")
# Degrees around a box that still are at home: harbours, platforms at sea, disputed borders.
MARGIN = 1.0

Box = tuple[float, float, float, float]  # south, west, north, east
_WORLD: Box = (-90.0, -180.0, 90.0, 180.0)
_NOWHERE: Box = (np.inf, np.inf, -np.inf, -np.inf)


@cache
def _table() -> dict[str, tuple[Box, ...]]:
    found: dict[str, list[Box]] = defaultdict(list)
    with BOXES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            south, west, north, east = (float(row[side]) for side in ("south", "west", "north", "east"))
            found[row["country"]].append((south, west, north, east))
    return {country: tuple(boxes) for country, boxes in found.items()}


def boxes(country: str | None) -> tuple[Box, ...]:
    """The boxes of a country, its mainland first; the world for no country."""
    return _table()[country] if country else (_WORLD,)


def is_inside(country: str, latitude: float, longitude: float) -> bool:
    """Whether the place is in one of the country's boxes."""
    return any(south <= latitude <= north and west <= longitude <= east for south, west, north, east in boxes(country))


def is_at_home(country: str | None, latitude: float, longitude: float) -> bool:
    """Whether the place may be in the country; any place may, where none is named."""
    return any(
        south - MARGIN <= latitude <= north + MARGIN and west - MARGIN <= longitude <= east + MARGIN
        for south, west, north, east in boxes(country)
    )


def accepted_at_home(country: pa.Array, latitude: pa.Array, longitude: pa.Array) -> pa.Array:
    """`is_at_home` of each row; False where a number is missing."""
    encoded = country.dictionary_encode(null_encoding="encode")
    known = [boxes(code) for code in encoded.dictionary.to_pylist()]
    place = encoded.indices.to_numpy(zero_copy_only=False)
    north, east = (one.to_numpy(zero_copy_only=False) for one in (latitude, longitude))
    inside = np.zeros(len(place), bool)
    left = np.arange(len(place))
    # Nearly all rows are in the first box of their country, and are asked once.
    for nth in range(max((len(one) for one in known), default=0)):
        edges = np.array([one[nth] if nth < len(one) else _NOWHERE for one in known]) + _OUTWARD
        box = edges[place[left]]
        hit = (box[:, 0] <= north[left]) & (north[left] <= box[:, 2])
        hit &= (box[:, 1] <= east[left]) & (east[left] <= box[:, 3])
        inside[left[hit]] = True
        left = left[~hit]
    return pa.array(inside)


_OUTWARD = np.array([-MARGIN, -MARGIN, MARGIN, MARGIN])
