"""From the location of a branch to files: a path, a glob, a folder or a URL, inside what the worker allows."""

import glob
import os
import re
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import unquote, urlsplit

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import Refused, SourceMissing, SourceUnreadable
from ingest_project.extract.compression import uncompressed_name
from ingest_project.extract.place import LocalPlace, Place
from ingest_project.extract.reach import refuse_out_of_reach
from ingest_project.extract.remote import SCHEMES, remote_places
from ingest_project.settings import settings

Format = Literal["csv", "jsonl", "json", "parquet"]
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_FORMATS: dict[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), "csv"),
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".geojson": "json",
    ".parquet": "parquet",
}
_DATA = re.compile(r"\.(csv|jsonl|ndjson|parquet)$", re.IGNORECASE)
_PACKED = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), ("a spreadsheet", "Save its sheet as CSV (UTF-8)")),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), ("an archive", "Unpack it")),
    **dict.fromkeys((".bz2", ".xz"), ("compressed in a way that is not read here", "Unpack it, or pack it as .gz")),
}


def resolve(spec: BranchSpec) -> tuple[Format, list[Place]]:
    """Find the format and the files of a branch, sorted by path. Raises SourceMissing, SourceUnreadable."""
    where = {"branch": spec.name, "location": spec.location}
    try:
        places = _places(spec)
        return _format_of(spec, places), places
    except Refused as error:
        error.where = {**where, **error.where}
        raise
    except OSError as error:
        why = f"the location cannot be looked at: {error.strerror or error}"
        raise SourceUnreadable(why, where=where) from None


def _places(spec: BranchSpec) -> list[Place]:
    location = expanded(spec.location)
    scheme = _SCHEME.match(location)
    if scheme and scheme[1].lower() in SCHEMES:
        refuse_out_of_reach(location, spec.location)
        return list(remote_places(spec.location, location, lambda name: _is_wanted(name, spec.format)))
    pattern = _local(location)
    _refuse_outside_roots(_fixed_part(pattern))
    found = sorted(set(_candidates(pattern, spec.format)))
    for path in found:
        _refuse_outside_roots(path)
        refuse_undecodable(str(path))
    return [LocalPlace(path) for path in found]


def _is_wanted(name: str, declared: str) -> bool:
    # A folder's notes.txt or meta.json beside its data are no data, unless the branch says so.
    bare = uncompressed_name(name)
    if declared == "auto":
        return _named_format(name) is not None and bool(_DATA.search(bare))
    return _named_format(name) == declared and not bare.lower().endswith(".txt")


def expanded(location: str) -> str:
    """The location with the environment's values in it. Raises SourceMissing."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceMissing(
                f"the location needs the environment variable {match[1]}, which is not set",
                todo=f"Set {match[1]} where the ingest runs, then run the same command again.",
            )
        return os.environ[match[1]]

    return _VARIABLE.sub(value, location)


def refuse_undecodable(name: str) -> None:
    """Neither Postgres nor JSON can hold a file's name that is no UTF-8. Raises SourceUnreadable."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode(errors="backslashreplace")
        raise SourceUnreadable(f"the name of a file is not UTF-8: {shown}", todo="Rename it.") from None


def _local(location: str) -> str:
    scheme = _SCHEME.match(location)
    if scheme is None:
        return os.path.expanduser(location)  # noqa: PTH111 - Path drops what a glob may end with
    if scheme[1].lower() == "file":
        parts = urlsplit(location)
        if parts.netloc in ("", "localhost"):
            return unquote(parts.path)
    raise SourceUnreadable(
        f"locations with {scheme[1]}:// are not supported by this version",
        todo=f"Give a path, a glob or a folder, or a URL with {', '.join(SCHEMES)}, postgresql; or fetch it first.",
    )


def _fixed_part(pattern: str) -> Path:
    # What a glob cannot change: nothing outside the roots is even looked at.
    path = Path(pattern)
    while glob.has_magic(str(path)) and not path.exists():
        path = path.parent
    return path


def _candidates(pattern: str, declared: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return _children(path, declared)
    if path.is_file():
        return [path]
    if path.exists():
        raise SourceUnreadable(f"{path} is neither a file nor a folder")
    # Asked after exists(): a file whose name holds brackets is itself, not a pattern.
    hits = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - takes absolute patterns
    files = [hit for hit in hits if hit.is_file()]
    if not files and (folders := [hit for hit in hits if hit.is_dir()]):
        raise SourceUnreadable(f"{folders[0]} is a folder, not a file; this glob matches no files")
    if not files:
        raise SourceMissing(f"there is nothing at {pattern}")
    return files


def _children(folder: Path, declared: str) -> list[Path]:
    visible = [child for child in folder.iterdir() if not child.name.startswith(".")]
    found = [child for child in visible if child.is_file() and _is_wanted(child.name, declared)]
    if not found and _named_format(folder.name):
        raise SourceUnreadable(f"{folder} is a folder, not a file")
    if not found:
        kinds = "csv or jsonl or parquet" if declared == "auto" else declared
        raise SourceMissing(f"there is no {kinds} file in the folder {folder}")
    return found


def _refuse_outside_roots(path: Path) -> None:
    roots = settings().roots
    if roots is None:
        return
    allowed = [Path(root).expanduser().resolve() for root in roots.split(":") if root]
    if not any(path.resolve().is_relative_to(root) for root in allowed):
        raise SourceUnreadable(
            f"{path} is outside the folders that INGEST_ROOTS allows",
            todo="Move the data into one of them, or let INGEST_ROOTS name its folder as well.",
        )


def _named_format(name: str) -> Format | None:
    bare = uncompressed_name(name)
    found = _FORMATS.get(PurePath(bare).suffix.lower())
    return None if found == "parquet" and bare != name else found


def _format_of(spec: BranchSpec, places: list[Place]) -> Format:
    if spec.format != "auto":
        return spec.format
    found: set[Format | None] = {_named_format(place.name) for place in places}
    kind = next(iter(found))
    if len(found) > 1 or kind is None:
        _refuse_packed(places[0].name)
        names = ", ".join(place.name for place in places[:5])
        raise SourceUnreadable(
            f"the names of the files do not agree on one format: {names}",
            todo="Say `format: csv` (jsonl, json, parquet) in the branch file, and let its location be of one kind.",
        )
    return kind


def _refuse_packed(name: str) -> None:
    kind = _PACKED.get(PurePath(uncompressed_name(name)).suffix.lower())
    if kind:
        raise SourceUnreadable(f"{name} is {kind[0]}", todo=f"{kind[1]}, then run again with that file.")
