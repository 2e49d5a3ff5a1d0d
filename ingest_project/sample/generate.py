"""Rows in any number, from the shipped places: each with its own key, and one in a hundred with the usual dirt."""

import csv
import filecmp
import io
import random
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

_SEED = 7
_DIRTY = 0.01
_JITTER = 0.05  # degrees around the real place
_CHUNK = 5_000

Row = dict[str, str]
Dirt = Callable[[Row], None]


def write_demo(path: Path, rows: int | None = None) -> None:
    """Write the demo's CSV: the shipped places and one row of each kind of dirt, or exactly so many rows.

    The same call gives the same bytes, and leaves a file alone that has them already.
    """
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8", newline="") as handle:
        handle.write(_shipped().splitlines()[0] + "\n")
        for chunk in _chunks(_demo_rows() if rows is None else generated(rows)):
            handle.write(chunk)
    if path.exists() and filecmp.cmp(path, fresh, shallow=False):
        fresh.unlink()
    else:
        fresh.replace(path)


def places() -> list[Row]:
    """The shipped places, as they are in the file."""
    return list(csv.DictReader(io.StringIO(_shipped())))


def generated(count: int, *, seed: int = _SEED) -> Iterator[Row]:
    """Exactly so many rows: the places themselves, then branches of them."""
    known = places()
    yield from known[:count]
    chance = random.Random(seed)  # noqa: S311 - sample data, the same each time
    for number in range(len(known), count):
        row = _branch_of(known[number % len(known)], number, chance)
        if chance.random() < _DIRTY:
            _KINDS[number % len(_KINDS)](row)
        yield row


def _demo_rows() -> Iterator[Row]:
    known = places()
    yield from known
    chance = random.Random(_SEED)  # noqa: S311 - sample data, the same each time
    for number, dirt in enumerate(_KINDS, start=len(known)):
        row = _branch_of(known[number % len(known)], number, chance)
        dirt(row)
        yield row


def _branch_of(place: Row, number: int, chance: random.Random) -> Row:
    row = dict(place)
    row["place_id"] = f"G{number:08d}"
    row["title"] = f"{place['title']} {number}"
    row["lat"] = f"{float(place['lat']) + chance.uniform(-_JITTER, _JITTER):.6f}"
    row["lon"] = f"{float(place['lon']) + chance.uniform(-_JITTER, _JITTER):.6f}"
    row["house_no"] = str(number % 199 + 1)
    row["updated"] = f"2025-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:00Z"
    return row


def _setting(**values: str) -> Dirt:
    return lambda row: row.update(values)


def _mojibake(row: Row) -> None:
    row["title"] = f"Café Zürich {row['place_id']}".encode().decode("latin-1")


def _spaced(row: Row) -> None:
    row["title"] = "  " + row["title"].replace(" ", "\u00a0 ") + "\u200b"


def _swapped(row: Row) -> None:
    row["lat"], row["lon"] = "139.7967", "35.7148"


def _repeated(row: Row) -> None:
    # An older version of a place that is there already.
    row.update(place_id="P0002", updated="2020-01-01T00:00:00Z")


def _too_many_fields(row: Row) -> None:
    row["price_currency"] = "EUR,one field too many"


_KINDS: tuple[Dirt, ...] = (
    _mojibake,
    _spaced,
    _swapped,
    _setting(lat="0", lon="0"),
    _setting(lat="-9999", lon="-9999"),
    _setting(lon=""),
    _setting(country="U.S.A.", postcode="2134.0", region="MA"),
    _setting(country="US", postcode="021341234", region="Massachusetts"),
    _setting(country="Atlantis"),
    _setting(phone="0800 (fax)"),
    _setting(phone="3.53599E+11"),
    _setting(phone="+49 30 20620; +49 30 20621", country="DE"),
    _setting(website="javascript:alert(1)"),
    _setting(website="www.example.org/visit"),
    _setting(updated="01/02/2024"),
    _setting(entry_price="twelve", price_currency="EUR"),
    _setting(entry_price="12.50", price_currency=""),
    _setting(title=" "),
    _setting(place_id=""),
    _repeated,
    _too_many_fields,
)


def _shipped() -> str:
    return files("ingest_project.sample").joinpath("places.csv").read_text(encoding="utf-8")


def _chunks(rows: Iterator[Row]) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for count, row in enumerate(rows, start=1):
        values = list(row.values())
        if values[-1].endswith("too many"):
            out.write(f"{row['place_id']},too,many{',' * (len(values) + 1)}\n")
        else:
            writer.writerow(values)
        if count % _CHUNK == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()
