"""Before anything is read: is the source there, fresh enough, and does it have what the branch declares?"""

import difflib
import time
from datetime import timedelta

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceStale
from ingest_project.extract.source import Pin, Source, open_source


def check(spec: BranchSpec) -> tuple[Source, Pin]:
    """The source of a branch and what is going to be read of it. Raises the Refused errors."""
    source = open_source(spec)
    pin = source.pin()
    _refuse_stale(spec, pin)
    _refuse_missing_columns(spec, pin)
    return source, pin


def _refuse_stale(spec: BranchSpec, pin: Pin) -> None:
    limit = spec.limits.max_age
    age = timedelta(seconds=time.time() - max(file.modified_ns for file in pin.files) / 1e9)
    if limit is not None and age > limit:
        whole = timedelta(seconds=round(age.total_seconds()))
        raise SourceStale(
            f"the source was last written {whole} ago; limits.max_age is {limit}",
            where={"branch": spec.name, "location": spec.location},
        )


def _refuse_missing_columns(spec: BranchSpec, pin: Pin) -> None:
    missing = [name for name in spec.declared_columns() if name not in pin.columns]
    if missing:
        raise ColumnsMissing(
            f"the source has no column {', '.join(_named(name, pin) for name in missing)};\n"
            f"    it has: {', '.join(pin.columns)}",
            where={"branch": spec.name, "file": pin.files[0].path},
        )


def _named(name: str, pin: Pin) -> str:
    near = difflib.get_close_matches(name, pin.columns, n=1)
    return f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name)
