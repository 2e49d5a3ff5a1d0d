"""Make `ingest_project/normalize/country_boxes.csv` anew from the borders of npm's @rapideditor/country-coder.

npm pack @rapideditor/country-coder && tar xf rapideditor-country-coder-*.tgz
python .ci/country_boxes.py package/src/data/borders.json > ingest_project/normalize/country_boxes.csv
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pycountry

Box = tuple[float, float, float, float]  # south, west, north, east
CODES = sorted({country.alpha_2 for country in pycountry.countries} | {"XK"})
NOTICE = """\
# Boxes around the lands and territorial waters of each country (ISO 3166-1 alpha-2, and XK), in degrees; territories
# that have a code of their own come last. Cut at the 180th meridian.
# Derived by .ci/country_boxes.py from src/data/borders.json of @rapideditor/country-coder 5.6.1.
# ISC License. Copyright (c) 2025, country-coder contributors. Permission to use, copy, modify, and/or distribute this
# software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this
# permission notice appear in all copies. THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
# REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR
# BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF
# USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN
# CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE."""


def main(path: str) -> None:
    features = [one for one in json.loads(Path(path).read_text())["features"] if one["geometry"]]
    sys.stdout.write(f"{NOTICE}\n")
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["country", "south", "west", "north", "east"])
    for code in CODES:
        own = [one["properties"] for one in features if _is_own(one["properties"], code)]
        for part in (own, [one["properties"] for one in features if _belongs(one["properties"], code, own)]):
            shapes = [one["geometry"] for one in features if one["properties"] in part]
            for box in sorted(_joined(_boxes(shapes)), key=_area, reverse=True):
                table.writerow([code, *(f"{edge:g}" for edge in box)])


def _is_own(said: dict[str, Any], code: str) -> bool:
    return said.get("iso1A2") == code or (said.get("country") == code and said.get("iso1A2") not in CODES)


def _belongs(said: dict[str, Any], code: str, own: list[dict[str, Any]]) -> bool:
    return said not in own and (said.get("country") == code or code in said.get("groups", []))


def _boxes(shapes: Iterable[dict[str, Any]]) -> Iterator[Box]:
    for polygon in (polygon for shape in shapes for polygon in shape["coordinates"]):
        longitudes, latitudes = zip(*polygon[0], strict=True)
        least = [math.floor(min(one) * 100) / 100 for one in (latitudes, longitudes)]
        most = [math.ceil(max(one) * 100) / 100 for one in (latitudes, longitudes)]
        yield least[0], least[1], most[0], most[1]


def _joined(boxes: Iterable[Box]) -> list[Box]:
    found = list(boxes)
    while pair := next((pair for pair in combinations(found, 2) if _are_near(*pair)), None):
        found = [_around(*pair), *(box for box in found if box not in pair)]
    return found


def _are_near(one: Box, other: Box) -> bool:
    return _area(_around(one, other)) <= 1.1 * (_area(one) + _area(other))


def _around(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


if __name__ == "__main__":
    main(sys.argv[1])
