"""Schema drift: how the columns of a source differ from those of the last activation that is in core.

Known before the first part is kept: names come with the pin, kinds from the first page. Text is of the kind that
nearly all of its values have, so that one odd value makes no other column of it; and it stays what it was while half of
them are, or while one is not, lest a column at that border is retyped each time.
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

_ROWS = 1000
_NEARLY_ALL = 0.95
_STILL = 0.5
_ALIKE = 0.7
_KINDS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("number", lambda kind: types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)),
    ("truth", types.is_boolean),
    ("time", types.is_temporal),
    ("nested", types.is_nested),
    ("bytes", lambda kind: types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)),
)
_WRITTEN = (
    ("number", re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?")),
    ("truth", re.compile(r"true|false", re.IGNORECASE)),
    ("time", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}.*)?")),
    ("nested", re.compile(r"[\[{].*[\]}]", re.DOTALL)),
)


def compare(page: Page, pin: Pin, *, contract: str, against: int | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """What to keep with an activation: {contract, against, kinds, changes}.

    `before` has `columns` and `kinds` of activation `against`. What `freeze` comes to is a gate.
    """
    kinds = {name: kind for name in pin.header if (kind := _kind(page.table.column(name), before["kinds"].get(name)))}
    changes = _changes(before["columns"], pin.header, before["kinds"], kinds) if against else []
    if changes and contract == "warn":
        log.warning("%s", describe(changes, before["columns"], pin.header))
    return {"contract": contract, "against": against, "kinds": kinds, "changes": changes}


def describe(changes: Sequence[Mapping[str, str]], had: Sequence[str], has: Sequence[str]) -> str:
    """The changes and both headers, for people."""
    lines = ["the columns of the source are not those of the last time:", *(f"    {one['what']}" for one in changes)]
    return "\n".join([*lines, f"    had: {', '.join(had)}", f"    has: {', '.join(has)}"])


def _kind(column: pa.ChunkedArray, was: str | None) -> str | None:
    found = next((name for name, test in _KINDS if test(column.type)), None)
    if found or types.is_null(column.type):
        return found
    values = [str(value).strip() for value in as_python(column.slice(0, _ROWS)) if value is not None]
    return _written([value for value in values if value], was)


def _written(values: list[str], was: str | None) -> str | None:
    if not values:
        return None
    shares = {name: sum(bool(form.fullmatch(one)) for one in values) / len(values) for name, form in _WRITTEN}
    if was in shares and shares[was] >= _STILL:
        return was
    enough = 1.0 if was == "text" else _NEARLY_ALL
    return next((name for name, share in shares.items() if share >= enough), "text")


def _changes(
    had: Sequence[str], has: Sequence[str], kinds_before: Mapping[str, str], kinds: Mapping[str, str]
) -> list[dict[str, str]]:
    # An object that is null in some rows is a column beside its values, one without any value of its own.
    objects = _objects([*had, *has])
    gone = [name for name in had if name not in has and (name in kinds_before or name not in objects)]
    come = [name for name in has if name not in had and (name in kinds or name not in objects)]
    others = renamed(had, has)
    retyped = [
        (name, was, kinds[name]) for name, was in kinds_before.items() if name in has and kinds.get(name, was) != was
    ]
    return [
        *(_change("renamed", was, name, f"renamed: {was!r} → {name!r}") for was, name in others.items()),
        *(_change("missing", name, None, f"missing: {name!r}") for name in gone if name not in others),
        *(_change("new", None, name, f"new: {name!r}") for name in come if name not in others.values()),
        *(_change("retyped", name, name, f"retyped: {name!r} was {was}, is {kind}") for name, was, kind in retyped),
    ]


def _change(change: str, was: str | None, now: str | None, what: str) -> dict[str, str]:
    named = {"was": was, "now": now}
    return {"change": change, "what": what, **{key: name for key, name in named.items() if name is not None}}


def renamed(had: Sequence[str], has: Sequence[str]) -> dict[str, str]:
    """Old name to new: spelt alike, or in the same place of a header of the same length."""
    found: dict[str, str] = {}
    objects = _objects([*had, *has])
    free = [name for name in has if name not in had and name not in objects]
    for name in [name for name in had if name not in has and name not in objects]:
        folded = {_folded(other): other for other in free}
        near = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=_ALIKE)
        place = has[had.index(name)] if len(had) == len(has) else None
        other = folded[near[0]] if near else place
        if other in free:
            found[name] = other
            free.remove(other)
    return found


def _objects(names: Sequence[str]) -> set[str]:
    return {name[:at] for name in names for at, letter in enumerate(name) if letter == "."}


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
