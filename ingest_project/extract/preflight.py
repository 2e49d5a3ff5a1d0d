"""Before anything is read: is the source there, is it dated, and does it have what the branch declares?"""

import difflib
from collections.abc import Sequence

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import ColumnsMissing, SourceStale
from ingest_project.extract.drift import renamed
from ingest_project.extract.kinds import open_source
from ingest_project.extract.source import Pin, Source


def check(spec: BranchSpec, had: Sequence[str] = ()) -> tuple[Source, Pin]:
    """Find the source of a branch and pin what is going to be read of it; `had` is its header of the last time.

    Raises the Refused errors.
    """
    source = open_source(spec)
    try:
        pin = source.pin()
        _refuse_undated(spec, pin)
        _refuse_missing_columns(spec, pin, had)
    except BaseException:
        source.close()
        raise
    return source, pin


def _refuse_undated(spec: BranchSpec, pin: Pin) -> None:
    """How old it may be is a gate; of what age that cannot be told, there is nothing to accept."""
    limit = spec.limits.max_age
    if limit is None or pin.written_at is not None:
        return
    how = "Declare updated_at, a column of timestamps" if pin.relation else "Let its server send Last-Modified"
    raise SourceStale(
        f"nothing says when the source was last written; limits.max_age is {limit}",
        where={"branch": spec.name, "location": spec.location},
        todo=f"{how}, or take limits.max_age out of the branch file.",
    )


def _refuse_missing_columns(spec: BranchSpec, pin: Pin, had: Sequence[str]) -> None:
    declared = [*spec.declared_columns(), *([spec.cursor] if spec.cursor else [])]
    # A row of JSON need not have a key, but one that no row has beside a new one has been renamed.
    others = renamed(had, pin.header)
    missing = [name for name in declared if name not in pin.columns or name in others]
    if not missing:
        return
    before = f"\n    had:    {', '.join(had)}" if had else ""
    raise ColumnsMissing(
        f"the source has no column {', '.join(_named(name, others.get(name), pin) for name in missing)};\n"
        f"    it has: {', '.join(pin.header)}{before}{_separator_hint(pin)}",
        where={"branch": spec.name, "file": pin.files[0].path},
    )


def _named(name: str, other: str | None, pin: Pin) -> str:
    by_folded = {column.strip().casefold(): column for column in pin.header}
    near = difflib.get_close_matches(name.strip().casefold(), by_folded, n=1)
    meant = by_folded[near[0]] if near else other
    return f"{name!r} (did you mean {meant!r}?)" if meant else repr(name)


def _separator_hint(pin: Pin) -> str:
    if pin.format != "csv" or len(pin.columns) != 1:
        return ""
    used = likely_delimiter(pin.columns)
    return (
        f"\n    it looks separated by {_SEPARATORS[used]}: say `delimiter: {used!r}` in the branch file" if used else ""
    )


def likely_delimiter(columns: Sequence[str]) -> str | None:
    """What separates the names of a header better than the commas at which it was parted."""
    header = ",".join(columns)
    mark = max(_SEPARATORS, key=header.count)
    return mark if header.count(mark) >= len(columns) else None


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
