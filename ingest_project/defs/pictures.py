"""Small pictures for the UI: bars, and a map of coordinates. SVG in a data URI, the form in which Dagster shows it."""

import base64
import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

WIDTH = 720
_LEAST_EXTENT = 0.02  # degrees: a map of one house shows some of its surroundings
_CELL = 4.0  # pixels; places in one cell are one dot
_LAND_UNITS = 4  # of land.svg, per degree
_LEAST_LAND_EXTENT = 4.0  # degrees; on a smaller map the coarse outline of land would mislead
_GRID_STEPS = (30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
_STYLE = "text{font:12px system-ui,sans-serif;fill:#334}.faint{fill:#889}.grid{stroke:#cdd3da;stroke-width:.6}"
_MOST_LINES = 8  # of the grid, in each direction
Place = tuple[float, float]  # latitude, longitude


def image(svg: str, text: str) -> str:
    """An SVG as an image in markdown, with the text that stands for it where it is not shown."""
    return f"![{text}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _svg(height: float, inner: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" rx="6" fill="#fbfcfd"/>{inner}</svg>'
    )


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{html.escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{colour}"/>'


# ── bars ───────────────────────────────────────────────────────────────────────────────────────────────────


def proportions(shares: Mapping[str, int], colours: Mapping[str, str]) -> str:
    """One bar, divided in proportion to the counts, with a legend; counts of zero are left out."""
    present = {name: count for name, count in shares.items() if count}
    bar, total = WIDTH - 24.0, sum(present.values()) or 1
    x, inner, legend = 12.0, "", 12.0
    for name, count in present.items():
        width = max(2.0, bar * count / total)
        inner += _rect(x, 12, min(width, WIDTH - 12 - x), 22, colours[name])
        label = f"{name} {count:,}"
        inner += _rect(legend, 46, 10, 10, colours[name]) + _text(legend + 15, 55, label)
        x, legend = x + width, legend + 28 + 7.2 * len(label)
    return _svg(68, inner)


def bars(counts: Mapping[str, int], colour: str) -> str:
    """A bar for each name, its length in proportion to the greatest count."""
    greatest, inner = max(counts.values(), default=1), ""
    for row, (name, count) in enumerate(counts.items()):
        y = 10.0 + 22 * row
        width = max(2.0, 400 * count / greatest)
        inner += _text(210, y + 12, name, ' text-anchor="end"') + _rect(220, y, width, 16, colour)
        inner += _text(228 + width, y + 12, f"{count:,}", ' class="faint"')
    return _svg(16 + 22 * len(counts), inner)


# ── a map ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Frame:
    """The part of the world that is shown, in an equirectangular projection, true to scale in the middle."""

    west: float
    north: float
    pixels_per_degree_east: float
    pixels_per_degree_south: float
    height: float  # pixels

    def project(self, place: Place) -> tuple[float, float]:
        latitude, longitude = place
        x = (longitude - self.west) * self.pixels_per_degree_east
        return x, (self.north - latitude) * self.pixels_per_degree_south

    @property
    def east(self) -> float:
        return self.west + WIDTH / self.pixels_per_degree_east

    @property
    def south(self) -> float:
        return self.north - self.height / self.pixels_per_degree_south


def map_of(places: Mapping[str, Sequence[Place]], colours: Mapping[str, str]) -> str:
    """Dots at (latitude, longitude), in a colour for each kind, the last kind on top; over land and a graticule."""
    frame = _frame([place for kind in places.values() for place in kind])
    inner = _land(frame) + _graticule(frame)
    legend = 10.0
    for name, places_of_kind in places.items():
        inner += f'<path d="{_dots(frame, places_of_kind)}" stroke="{colours[name]}" class="dot"/>'
        inner += _rect(legend, frame.height + 8, 10, 10, colours[name]) + _text(legend + 15, frame.height + 17, name)
        legend += 32 + 7.2 * len(name)
    style = "<style>.dot{stroke-width:5;stroke-linecap:round;stroke-opacity:.75;fill:none}</style>"
    return _svg(frame.height + 26, style + inner)


def _frame(places: Sequence[Place]) -> _Frame:
    south, north = min(place[0] for place in places), max(place[0] for place in places)
    west, east = min(place[1] for place in places), max(place[1] for place in places)
    middle = (south + north) / 2
    narrowing = max(0.2, math.cos(math.radians(middle)))  # of a degree of longitude, away from the equator
    width = max(1.12 * (east - west), _LEAST_EXTENT)
    height = max(1.12 * (north - south), _LEAST_EXTENT)
    # Neither flat nor tall: the shorter side shows more of the world.
    width = max(width, 1.8 * height / narrowing)
    height = max(height, width * narrowing / 3)
    width = min(width, 360.0)
    pixels = WIDTH / width
    left = min(max((west + east - width) / 2, -180.0), 180.0 - width)
    return _Frame(left, middle + height / 2, pixels, pixels / narrowing, height * pixels / narrowing)


def _dots(frame: _Frame, places: Sequence[Place]) -> str:
    cells = {(round(x / _CELL), round(y / _CELL)) for x, y in map(frame.project, places)}
    return "".join(f"M{x * _CELL:.0f} {y * _CELL:.0f}h0" for x, y in sorted(cells))


def _land(frame: _Frame) -> str:
    if frame.east - frame.west < _LEAST_LAND_EXTENT:
        return ""
    shown = "".join(shape for shape, box in _shapes() if _intersects(frame, box))
    x, y = frame.project((0.0, 0.0))
    scale_x, scale_y = frame.pixels_per_degree_east / _LAND_UNITS, frame.pixels_per_degree_south / _LAND_UNITS
    clip = f'<clipPath id="c"><rect width="{WIDTH}" height="{frame.height:.0f}" rx="6"/></clipPath>'
    land = f'<path transform="matrix({scale_x:.4f} 0 0 {scale_y:.4f} {x:.1f} {y:.1f})" d="{shown}" fill="#e3e8e0"/>'
    return f'{clip}<g clip-path="url(#c)"><rect width="100%" height="{frame.height:.0f}" fill="#eef4f8"/>{land}</g>'


@cache
def _shapes() -> list[tuple[str, tuple[float, float, float, float]]]:
    """Shapes of land with their west, east, south and north."""
    text = files("ingest_project.defs").joinpath("land.svg").read_text(encoding="utf-8")
    return [(line, _box(line)) for line in text.splitlines() if line.startswith("M")]


def _box(shape: str) -> tuple[float, float, float, float]:
    start, _, steps = shape.partition("l")
    x, y = (int(number) for number in re.findall(r"-?\d+", start))
    xs, ys = [x], [y]
    moves = [int(number) for number in re.findall(r"-?\d+", steps)]
    for dx, dy in zip(moves[::2], moves[1::2], strict=True):
        xs.append(xs[-1] + dx)
        ys.append(ys[-1] + dy)
    return min(xs) / _LAND_UNITS, max(xs) / _LAND_UNITS, -max(ys) / _LAND_UNITS, -min(ys) / _LAND_UNITS


def _intersects(frame: _Frame, box: tuple[float, float, float, float]) -> bool:
    west, east, south, north = box
    return west < frame.east and east > frame.west and south < frame.north and north > frame.south


def _graticule(frame: _Frame) -> str:
    inner = ""
    step = _step(frame.east - frame.west)
    for degrees in _multiples(step, frame.west, frame.east):
        x, _ = frame.project((0.0, degrees))
        inner += f'<path class="grid" d="M{x:.1f} 0V{frame.height:.0f}"/>'
        inner += _text(x + 3, frame.height - 5, _degrees(degrees, "EW"), ' class="faint"')
    for degrees in _multiples(step, frame.south, frame.north):
        _, y = frame.project((degrees, 0.0))
        inner += f'<path class="grid" d="M0 {y:.1f}H{WIDTH}"/>'
        if y < frame.height - 20:  # the labels of longitudes are there
            inner += _text(4, y - 3, _degrees(degrees, "NS"), ' class="faint"')
    return inner


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):g}°{sides[value < 0] if value else ''}"


def _step(span: float) -> float:
    return next((step for step in reversed(_GRID_STEPS) if span / step <= _MOST_LINES), _GRID_STEPS[0])


def _multiples(step: float, low: float, high: float) -> Iterator[float]:
    return (round(index * step, 6) for index in range(math.ceil(low / step), math.floor(high / step) + 1))
