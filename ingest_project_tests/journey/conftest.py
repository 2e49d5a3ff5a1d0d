"""A branch of one's own: its file, its registration, its database; and the command line in this process."""

import json
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest_project import cli
from ingest_project.branches import registry
from ingest_project.branches.spec import BranchSpec, parse_spec
from ingest_project.postgres.connection import session

HEADER = ("id", "name", "city", "country", "lat", "lon", "updated", "color")
MAPPING = {"name": "name", "locality": "city", "country_code": "country", "latitude": "lat", "longitude": "lon"}

# Two states of a branch with all that can happen to a row; eleven rows are three parts of four.
FIRST = (
    ("1", "Alpha", "Berlin", "DE", "52.5", "13.4", "2024-01-01T00:00:00Z", "red"),
    ("2", "Beta", "Paris", "FR", "48.8", "2.3", "2024-01-01T00:00:00Z", "red"),
    ("3", "Gamma", "Windhoek", "NA", "-22.5", "17.1", "2024-01-01T00:00:00Z", "red"),
    ("4", "Delta", "Oslo", "NO", "59.9", "10.7", "2024-01-01T00:00:00Z", ""),
    ("", "no key", "Rome", "IT", "41.9", "12.5", "2024-01-01T00:00:00Z", "red"),
    ("6", "Zeta", "Rome", "IT", "0", "0", "2024-01-01T00:00:00Z", "red"),
    ("7", "Eta", "Rome", "Italy", "41.9", "12.5", "2024-01-01T00:00:00Z", "red"),
    ("8", "Theta", "Rome", "IT", "41.9", "12.5", "2024-01-01T00:00:00Z", "red"),
    ("9", "Iota", "Rome", "IT", "41.9", "12.5", "2024-01-01T00:00:00Z", "red"),
    ("1", "Alpha, older", "Berlin", "DE", "52.5", "13.4", "2023-01-01T00:00:00Z", "red"),
    ("11", "Lambda", "Rome", "IT", "41.9", "12.5", "", "red"),
)
SECOND = (
    FIRST[0],  # unchanged
    ("2", "Beta renamed", "Paris", "FR", "48.8", "2.3", "2024-02-01T00:00:00Z", "red"),  # updated, embedded
    ("3", "Gamma", "Windhoek", "NA", "-22.5", "17.1", "2024-02-01T00:00:00Z", "blue"),  # updated, not embedded
    ("4", "Delta", "Oslo", "NO", "59.9", "10.7", "2024-02-01T00:00:00Z", ""),  # touched
    ("6", "Zeta, older", "Rome", "IT", "1", "1", "2022-01-01T00:00:00Z", "red"),  # stale
    FIRST[6],
    FIRST[7],
    ("12", "Mu", "Kyiv", "UA", "50.4", "30.5", "2024-02-01T00:00:00Z", "red"),  # inserted
    ("13", "", "Kyiv", "UA", "50.4", "30.5", "2024-02-01T00:00:00Z", "red"),  # rejected
    ("12", "Mu, newer", "Kyiv", "UA", "50.4", "30.5", "2024-03-01T00:00:00Z", "red"),  # wins over the row above
    ("14", "Xi", "Kyiv", "Ukraine", "50.4", "30.5", "2024-02-01T00:00:00Z", "green"),
)


def write_csv(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    """Write rows that need no quoting but for commas in names."""
    lines = [",".join(f'"{value}"' if "," in value else value for value in row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Place:
    """One branch and where its data is."""

    name: str
    file: Path

    def holds(self, rows: Iterable[Sequence[str]]) -> None:
        """Replace its data."""
        write_csv(self.file, rows)


def spec_of(file: Path, **given: Any) -> BranchSpec:
    """A spec for files with our header."""
    default: dict[str, Any] = {
        "name": "places",
        "source": "test",
        "location": str(file),
        "key": "id",
        "updated_at": "updated",
        "mapping": MAPPING,
    }
    return parse_spec({**default, **given}, origin="test")


@pytest.fixture
def branch(fresh_database: str, home: Path, tmp_path: Path) -> Callable[..., Place]:
    """Register a branch; keywords go into its spec."""

    def register(rows: Iterable[Sequence[str]] = FIRST, **given: Any) -> Place:
        name = given.get("name", "places")
        place = Place(name, tmp_path / f"{len(name)}-{abs(hash(name)) % 10_000}.csv")
        place.holds(rows)
        with session() as connection:
            registry.apply_branch(connection, spec_of(place.file, **given))
        return place

    return register


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def command(
    database: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """`ingest` with these words, in this process and on the worker's database: branches need names of their own."""

    def run(*words: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["ingest", *map(str, words)])
        capsys.readouterr()
        code = cli._exit_code()  # pyright: ignore[reportPrivateUsage]
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def write_spec(path: Path, **given: Any) -> Path:
    """A branch file; keywords replace or extend what the usual one says, None takes a setting out."""
    default = {"source": given.get("name"), "key": "id", "updated_at": "updated", "mapping": MAPPING}
    whole = {**default, **given}
    path.write_text(yaml.safe_dump({key: value for key, value in whole.items() if value is not None}), encoding="utf-8")
    return path
