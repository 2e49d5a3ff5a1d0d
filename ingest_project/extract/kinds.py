"""The kinds of source, and how that of a branch is opened: the one place that a new kind is added to."""

from ingest_project.branches.spec import BranchSpec
from ingest_project.extract.csv import CsvFiles
from ingest_project.extract.json_document import JsonFiles
from ingest_project.extract.jsonl import JsonLinesFiles
from ingest_project.extract.location import resolve
from ingest_project.extract.parquet import ParquetFiles
from ingest_project.extract.postgres import relation_of
from ingest_project.extract.source import Source

_KINDS = {kind.format: kind for kind in (CsvFiles, JsonLinesFiles, JsonFiles, ParquetFiles)}


def open_source(spec: BranchSpec) -> Source:
    """Find the source that a branch names; reads nothing yet. Raises SourceMissing, SourceUnreadable."""
    found = relation_of(spec)
    if found is not None:
        return found
    format_, places = resolve(spec)
    return _KINDS[format_](spec, tuple(places))
