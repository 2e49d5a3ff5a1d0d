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
_LEAST_DEGREES = 0.02  # a map of one house is no map
_CELL = 4.0  # pixels; what is closer together is one dot
_PER_DEGREE = 4  # of land.svg
_COARSE = 4.0  # degrees; below that the outline of land would mislead
_STEPS = (30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
_STYLE = "text{font:12px system-ui,sans-serif;fill:#334}.faint{fill:#889}.grid{stroke:#cdd3da;stroke-width:.6}"
Place = tuple[float, float]


def image(picture: str, words: str) -> str:
    """A picture in markdown; the words are for who does not see it."""
    return f"![{words}](data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()})"


def _svg(height: float, inner: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}"><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" rx="6" fill="#fbfcfd"/>{inner}</svg>'
    )


def _text(x: float, y: float, words: object, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(str(words))}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{colour}"/>'


# ── bars ───────────────────────────────────────────────────────────────────────────────────────────────────


def proportions(shares: Mapping[str, int], colours: Mapping[str, str]) -> str:
    """One bar, divided by how much there is of each, with a legend; what there is none of is left out."""
    kept = {name: count for name, count in shares.items() if count}
    room, whole = WIDTH - 24.0, sum(kept.values()) or 1
    x, inner, legend = 12.0, "", 12.0
    for name, count in kept.items():
        width = max(2.0, room * count / whole)
        inner += _rect(x, 12, min(width, WIDTH - 12 - x), 22, colours[name])
        words = f"{name} {count:,}"
        inner += _rect(legend, 46, 10, 10, colours[name]) + _text(legend + 15, 55, words)
        x, legend = x + width, legend + 28 + 7.2 * len(words)
    return _svg(68, inner)


def bars(counts: Mapping[str, int], colour: str) -> str:
    """A bar for each name, its length by the greatest."""
    greatest, inner = max(counts.values(), default=1), ""
    for at, (name, count) in enumerate(counts.items()):
        y = 10.0 + 22 * at
        width = max(2.0, 400 * count / greatest)
        inner += _text(210, y + 12, name, ' text-anchor="end"') + _rect(220, y, width, 16, colour)
        inner += _text(228 + width, y + 12, f"{count:,}", ' class="faint"')
    return _svg(16 + 22 * len(counts), inner)


# ── a map ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Frame:
    """What part of the world is shown, and how: equirectangular, true to scale in the middle."""

    west: float
    north: float
    per_degree_east: float
    per_degree_south: float
    height: float

    def at(self, place: Place) -> Place:
        latitude, longitude = place
        return (longitude - self.west) * self.per_degree_east, (self.north - latitude) * self.per_degree_south

    @property
    def east(self) -> float:
        return self.west + WIDTH / self.per_degree_east

    @property
    def south(self) -> float:
        return self.north - self.height / self.per_degree_south


def map_of(places: Mapping[str, Sequence[Place]], colours: Mapping[str, str]) -> str:
    """Dots at (latitude, longitude), in a colour for each kind, the last kind on top; over land and a graticule."""
    frame = _frame([place for kind in places.values() for place in kind])
    inner = _land(frame) + _graticule(frame)
    legend = 10.0
    for name, found in places.items():
        inner += f'<path d="{_dots(frame, found)}" stroke="{colours[name]}" class="dot"/>'
        inner += _rect(legend, frame.height + 8, 10, 10, colours[name]) + _text(legend + 15, frame.height + 17, name)
        legend += 32 + 7.2 * len(name)
    style = "<style>.dot{stroke-width:5;stroke-linecap:round;stroke-opacity:.75;fill:none}</style>"
    return _svg(frame.height + 26, style + inner)


def _frame(places: Sequence[Place]) -> _Frame:
    south, north = min(place[0] for place in places), max(place[0] for place in places)
    west, east = min(place[1] for place in places), max(place[1] for place in places)
    middle = (south + north) / 2
    narrowing = max(0.2, math.cos(math.radians(middle)))
    wide = max(1.12 * (east - west), _LEAST_DEGREES)
    high = max(1.12 * (north - south), _LEAST_DEGREES)
    # Neither flat nor tall: the shorter side shows more of the world.
    wide = max(wide, 1.8 * high / narrowing)
    high = max(high, wide * narrowing / 3)
    wide = min(wide, 360.0)
    per_degree = WIDTH / wide
    left = min(max((west + east - wide) / 2, -180.0), 180.0 - wide)
    return _Frame(left, middle + high / 2, per_degree, per_degree / narrowing, high * per_degree / narrowing)


def _dots(frame: _Frame, places: Sequence[Place]) -> str:
    cells = {(round(x / _CELL), round(y / _CELL)) for x, y in map(frame.at, places)}
    return "".join(f"M{x * _CELL:.0f} {y * _CELL:.0f}h0" for x, y in sorted(cells))


def _land(frame: _Frame) -> str:
    if frame.east - frame.west < _COARSE:
        return ""
    shown = "".join(shape for shape, box in _shapes() if _meets(frame, box))
    x, y = frame.at((0.0, 0.0))
    scale = f"{frame.per_degree_east / _PER_DEGREE:.4f} 0 0 {frame.per_degree_south / _PER_DEGREE:.4f} {x:.1f} {y:.1f}"
    clip = f'<clipPath id="c"><rect width="{WIDTH}" height="{frame.height:.0f}" rx="6"/></clipPath>'
    land = f'<path transform="matrix({scale})" d="{shown}" fill="#e3e8e0"/>'
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
    return min(xs) / _PER_DEGREE, max(xs) / _PER_DEGREE, -max(ys) / _PER_DEGREE, -min(ys) / _PER_DEGREE


def _meets(frame: _Frame, box: tuple[float, float, float, float]) -> bool:
    west, east, south, north = box
    return west < frame.east and east > frame.west and south < frame.north and north > frame.south


def _graticule(frame: _Frame) -> str:
    inner = ""
    step = _step(frame.east - frame.west)
    for degrees in _multiples(step, frame.west, frame.east):
        x, _ = frame.at((0.0, degrees))
        inner += f'<path class="grid" d="M{x:.1f} 0V{frame.height:.0f}"/>'
        inner += _text(x + 3, frame.height - 5, _degrees(degrees, "EW"), ' class="faint"')
    for degrees in _multiples(step, frame.south, frame.north):
        _, y = frame.at((degrees, 0.0))
        inner += f'<path class="grid" d="M0 {y:.1f}H{WIDTH}"/>'
        if y < frame.height - 20:  # where the longitudes stand
            inner += _text(4, y - 3, _degrees(degrees, "NS"), ' class="faint"')
    return inner


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):g}°{sides[value < 0] if value else ''}"


def _step(span: float) -> float:
    return next((step for step in reversed(_STEPS) if span / step <= 8), _STEPS[0])  # noqa: PLR2004 - lines at most


def _multiples(step: float, low: float, high: float) -> Iterator[float]:
    return (round(at * step, 6) for at in range(math.ceil(low / step), math.floor(high / step) + 1))
