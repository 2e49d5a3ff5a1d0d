"""A look at a source that no branch names yet: its columns, and what stands in the first rows."""

from dataclasses import dataclass

from ingest_project.branches.spec import BranchSpec
from ingest_project.extract.kinds import open_source
from ingest_project.extract.source import MORE

_ROWS = 50
_SAMPLES = 3


@dataclass(frozen=True)
class Look:
    """Columns in the order of the source, and up to three different values of each, as text."""

    columns: tuple[str, ...]
    samples: dict[str, list[str]]


def look(location: str) -> Look:
    """Read the first rows of what is at a location. Raises the Refused errors."""
    spec = BranchSpec.model_validate(
        {"name": location[:200], "source": "-", "location": location, "key": "-", "mapping": {"name": "-"}}
    )
    source = open_source(spec)
    pin = source.pin()
    page = next(iter(source.pages(pin, _ROWS, None))).table
    columns = tuple(name for name in pin.columns if name != MORE)
    return Look(columns, {name: _different(page[name].to_pylist()) for name in columns})


def _different(values: list[object]) -> list[str]:
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    return list(dict.fromkeys(texts))[:_SAMPLES]
