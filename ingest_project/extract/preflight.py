"""Checks before anything is read: the source is there, is dated, and has the columns that the branch declares."""

import difflib
from collections.abc import Sequence

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceStale
from ingest_project.extract.drift import find_renames
from ingest_project.extract.kinds import open_source
from ingest_project.extract.source import Pin, Source

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def check(spec: BranchSpec, last_header: Sequence[str] = ()) -> tuple[Source, Pin]:
    """Open the source of a branch and pin it; `last_header` has its columns of the last time.

    Raises the Refused errors.
    """
    source = open_source(spec)
    try:
        pin = source.pin()
        _refuse_undated(spec, pin)
        _refuse_missing_columns(spec, pin, last_header)
    except BaseException:
        source.close()
        raise
    return source, pin


def _refuse_undated(spec: BranchSpec, pin: Pin) -> None:
    # Its age is a gate, which a person may accept; without an age there is nothing to accept.
    limit = spec.limits.max_age
    if limit is None or pin.written_at is not None:
        return
    how = "Declare updated_at, a column of timestamps" if pin.relation else "Let its server send Last-Modified"
    raise SourceStale(
        f"nothing says when the source was last written; limits.max_age is {limit}",
        where={"branch": spec.name, "location": spec.location},
        todo=f"{how}, or take limits.max_age out of the branch file.",
    )


def _refuse_missing_columns(spec: BranchSpec, pin: Pin, last_header: Sequence[str]) -> None:
    declared = [*spec.declared_columns(), *([spec.cursor] if spec.cursor else [])]
    # Rows of JSON need not have a key; but where none has it, and all have a new one instead, it was renamed.
    renames = find_renames(last_header, pin.header)
    missing = [name for name in declared if name not in pin.columns or name in renames]
    if not missing:
        return
    before = f"\n    had:    {', '.join(last_header)}" if last_header else ""
    raise ColumnsMissing(
        f"the source has no column {', '.join(_with_suggestion(name, renames.get(name), pin) for name in missing)};\n"
        f"    it has: {', '.join(pin.header)}{before}{_delimiter_hint(pin)}",
        where={"branch": spec.name, "file": pin.files[0].path},
    )


def _with_suggestion(name: str, new_name: str | None, pin: Pin) -> str:
    by_folded = {column.strip().casefold(): column for column in pin.header}
    similar = difflib.get_close_matches(name.strip().casefold(), by_folded, n=1)
    suggestion = by_folded[similar[0]] if similar else new_name
    return f"{name!r} (did you mean {suggestion!r}?)" if suggestion else repr(name)


def _delimiter_hint(pin: Pin) -> str:
    if pin.format != "csv" or len(pin.columns) != 1:
        return ""
    delimiter = likely_delimiter(pin.columns)
    if delimiter is None:
        return ""
    return f"\n    it looks separated by {_DELIMITERS[delimiter]}: say `delimiter: {delimiter!r}` in the branch file"


def likely_delimiter(columns: Sequence[str]) -> str | None:
    """The delimiter that there is more of in this header than of the commas by which it was split; None for commas."""
    header = ",".join(columns)
    delimiter = max(_DELIMITERS, key=header.count)
    return delimiter if header.count(delimiter) >= len(columns) else None
