"""Schema drift: how the columns of a source differ from those of the last activation that is in core.

It is known before the first part is kept: names come with the pin, kinds from the first page. A column of text is of
the kind that nearly all of its values are, so that one odd value does not retype it. Lest a column at that border is
retyped each time, it keeps its kind while half of its values are of it, and stays text while one of them is of no kind.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import types

from ingest_project.extract.source import Page, Pin
from ingest_project.extract.values import as_python
from ingest_project.telemetry import log

_SAMPLE_ROWS = 1000
_MIN_SHARE = 0.95
_MIN_SHARE_TO_KEEP = 0.5
_MIN_SIMILARITY = 0.7
_KINDS_OF_TYPES: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("number", lambda kind: types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)),
    ("truth", types.is_boolean),
    ("time", types.is_temporal),
    ("nested", types.is_nested),
    ("bytes", lambda kind: types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)),
)
_KINDS_OF_TEXT = (
    ("number", re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?")),
    ("truth", re.compile(r"true|false", re.IGNORECASE)),
    ("time", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}.*)?")),
    ("nested", re.compile(r"[\[{].*[\]}]", re.DOTALL)),
)


def compare(page: Page, pin: Pin, *, contract: str, against: int | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """Give the record to keep with an activation: {contract, against, kinds, changes}.

    `before` has `columns` and `kinds` of activation `against`. Warns where the contract is `warn`; `freeze` is a gate.
    """
    kinds = {name: kind for name in pin.header if (kind := _kind(page.table.column(name), before["kinds"].get(name)))}
    changes = _changes(before["columns"], pin.header, before["kinds"], kinds) if against else []
    if changes and contract == "warn":
        log.warning("%s", describe(changes, before["columns"], pin.header))
    return {"contract": contract, "against": against, "kinds": kinds, "changes": changes}


def describe(changes: Sequence[Mapping[str, str]], old: Sequence[str], new: Sequence[str]) -> str:
    """The changes and both headers, for people."""
    lines = ["the columns of the source are not those of the last time:", *(f"    {one['what']}" for one in changes)]
    return "\n".join([*lines, f"    had: {', '.join(old)}", f"    has: {', '.join(new)}"])


def _kind(column: pa.ChunkedArray, old_kind: str | None) -> str | None:
    kind = next((kind for kind, is_kind in _KINDS_OF_TYPES if is_kind(column.type)), None)
    if kind or types.is_null(column.type):
        return kind
    values = [str(value).strip() for value in as_python(column.slice(0, _SAMPLE_ROWS)) if value is not None]
    return _kind_of_text([value for value in values if value], old_kind)


def _kind_of_text(values: list[str], old_kind: str | None) -> str | None:
    if not values:
        return None
    shares = {kind: sum(bool(form.fullmatch(value)) for value in values) / len(values) for kind, form in _KINDS_OF_TEXT}
    if old_kind in shares and shares[old_kind] >= _MIN_SHARE_TO_KEEP:
        return old_kind
    min_share = 1.0 if old_kind == "text" else _MIN_SHARE
    return next((kind for kind, share in shares.items() if share >= min_share), "text")


def _changes(
    old: Sequence[str], new: Sequence[str], old_kinds: Mapping[str, str], new_kinds: Mapping[str, str]
) -> list[dict[str, str]]:
    # The name of an object that is null in some rows is a column without values; it says nothing by itself.
    objects = _object_names([*old, *new])
    removed = [name for name in old if name not in new and (name in old_kinds or name not in objects)]
    added = [name for name in new if name not in old and (name in new_kinds or name not in objects)]
    renames = find_renames(old, new)
    retyped = [
        (name, was, new_kinds[name])
        for name, was in old_kinds.items()
        if name in new and new_kinds.get(name, was) != was
    ]
    return [
        *(_change("renamed", was, name, f"renamed: {was!r} → {name!r}") for was, name in renames.items()),
        *(_change("missing", name, None, f"missing: {name!r}") for name in removed if name not in renames),
        *(_change("new", None, name, f"new: {name!r}") for name in added if name not in renames.values()),
        *(_change("retyped", name, name, f"retyped: {name!r} was {was}, is {kind}") for name, was, kind in retyped),
    ]


def _change(change: str, was: str | None, now: str | None, what: str) -> dict[str, str]:
    names = {"was": was, "now": now}
    return {"change": change, "what": what, **{key: name for key, name in names.items() if name is not None}}


def find_renames(old: Sequence[str], new: Sequence[str]) -> dict[str, str]:
    """Old name to new: spelt alike, or in the same place of a header of the same length."""
    renames: dict[str, str] = {}
    objects = _object_names([*old, *new])
    candidates = [name for name in new if name not in old and name not in objects]
    for name in [name for name in old if name not in new and name not in objects]:
        by_folded = {_fold(candidate): candidate for candidate in candidates}
        similar = difflib.get_close_matches(_fold(name), by_folded, n=1, cutoff=_MIN_SIMILARITY)
        in_same_place = new[old.index(name)] if len(old) == len(new) else None
        new_name = by_folded[similar[0]] if similar else in_same_place
        if new_name in candidates:
            renames[name] = new_name
            candidates.remove(new_name)
    return renames


def _object_names(names: Sequence[str]) -> set[str]:
    return {name[:at] for name in names for at, letter in enumerate(name) if letter == "."}


def _fold(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
