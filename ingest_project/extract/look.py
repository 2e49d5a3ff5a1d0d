"""A look at a source that no branch names yet: its columns, and what stands in the first rows."""

from dataclasses import dataclass

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SourceUnreadable
from ingest_project.extract.kinds import open_source
from ingest_project.extract.preflight import likely_delimiter
from ingest_project.extract.source import MORE

_ROWS = 50
_SAMPLES = 3


@dataclass(frozen=True)
class Look:
    """Columns in the order of the source, and up to three different values of each, as text; how it is written."""

    columns: tuple[str, ...]
    samples: dict[str, list[str]]
    written: dict[str, str]


def look(location: str) -> Look:
    """Read the first rows of what is at a location. Raises the Refused errors.

    What is not UTF-8 is tried as windows-1252, what has one column only as separated by something else.
    """
    try:
        return _look(location, {})
    except SourceUnreadable as error:
        if "byte" not in error.where:
            raise
        return _look(location, {"encoding": "windows-1252"})


def _look(location: str, written: dict[str, str]) -> Look:
    described = {"name": location[:200], "source": "-", "location": location, "key": "-", "mapping": {"name": "-"}}
    source = open_source(BranchSpec.model_validate({**described, **written}))
    pin = source.pin()
    if len(pin.columns) == 1 and "delimiter" not in written and (mark := likely_delimiter(pin.columns[0])):
        return _look(location, {**written, "delimiter": mark})
    page = next(iter(source.pages(pin, _ROWS, None))).table
    columns = tuple(name for name in pin.columns if name != MORE)
    return Look(columns, {name: _different(page[name].to_pylist()) for name in columns}, written)


def _different(values: list[object]) -> list[str]:
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    return list(dict.fromkeys(texts))[:_SAMPLES]
