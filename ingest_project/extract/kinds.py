"""Opens the source of a branch, of whatever kind: a new kind is added here."""

from ingest_project.branches.spec import BranchSpec
from ingest_project.extract.csv import CsvFiles
from ingest_project.extract.json_document import JsonFiles
from ingest_project.extract.jsonl import JsonLinesFiles
from ingest_project.extract.location import resolve
from ingest_project.extract.parquet import ParquetFiles
from ingest_project.extract.postgres import relation_of
from ingest_project.extract.source import Source

_FILE_KINDS = {kind.format: kind for kind in (CsvFiles, JsonLinesFiles, JsonFiles, ParquetFiles)}


def open_source(spec: BranchSpec) -> Source:
    """Find the source that a branch names; reads nothing yet. Raises SourceMissing, SourceUnreadable."""
    relation = relation_of(spec)
    if relation is not None:
        return relation
    format_, files = resolve(spec)
    return _FILE_KINDS[format_](spec, tuple(files))
