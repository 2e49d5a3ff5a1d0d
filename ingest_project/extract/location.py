"""Finds the files at a branch's location: a path, a glob, a folder or a URL, inside what the worker allows."""

import glob
import os
import re
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import unquote, urlsplit

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import Refused, SourceMissing, SourceUnreadable
from ingest_project.extract.compression import uncompressed_name
from ingest_project.extract.input_file import InputFile, LocalFile
from ingest_project.extract.reach import refuse_out_of_reach
from ingest_project.extract.remote import SCHEMES, remote_files
from ingest_project.settings import settings

Format = Literal["csv", "jsonl", "json", "parquet"]
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_FORMATS_BY_SUFFIX: dict[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), "csv"),
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".geojson": "json",
    ".parquet": "parquet",
}
_DATA_SUFFIX = re.compile(r"\.(csv|jsonl|ndjson|parquet)$", re.IGNORECASE)
_UNSUPPORTED = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), ("a spreadsheet", "Save its sheet as CSV (UTF-8)")),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), ("an archive", "Unpack it")),
    **dict.fromkeys((".bz2", ".xz"), ("compressed in a way that is not read here", "Unpack it, or pack it as .gz")),
}


def resolve(spec: BranchSpec) -> tuple[Format, list[InputFile]]:
    """Find the format and the files of a branch, sorted by path. Raises SourceMissing, SourceUnreadable."""
    where = {"branch": spec.name, "location": spec.location}
    try:
        files = _find_files(spec)
        return _format_of(spec, files), files
    except Refused as error:
        error.where = {**where, **error.where}
        raise
    except OSError as error:
        what = f"the location cannot be looked at: {error.strerror or error}"
        raise SourceUnreadable(what, where=where) from None


def _find_files(spec: BranchSpec) -> list[InputFile]:
    location = expand_variables(spec.location)
    scheme = _SCHEME.match(location)
    if scheme and scheme[1].lower() in SCHEMES:
        refuse_out_of_reach(location, spec.location)
        return list(remote_files(spec.location, location, lambda name: _is_data(name, spec.format)))
    pattern = _local_pattern(location)
    _refuse_outside_roots(_fixed_part(pattern))
    paths = sorted(set(_local_paths(pattern, spec.format)))
    for path in paths:
        _refuse_outside_roots(path)
        refuse_undecodable(str(path))
    return [LocalFile(path) for path in paths]


def _is_data(name: str, declared: str) -> bool:
    # A folder's notes.txt or meta.json beside its data are no data, unless the branch says so.
    unpacked = uncompressed_name(name)
    if declared == "auto":
        return _format_by_name(name) is not None and bool(_DATA_SUFFIX.search(unpacked))
    return _format_by_name(name) == declared and not unpacked.lower().endswith(".txt")


def expand_variables(location: str) -> str:
    """The location with the values of its ${VARIABLES} from the environment. Raises SourceMissing."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceMissing(
                f"the location needs the environment variable {match[1]}, which is not set",
                todo=f"Set {match[1]} where the ingest runs, then run the same command again.",
            )
        return os.environ[match[1]]

    return _VARIABLE.sub(value, location)


def refuse_undecodable(name: str) -> None:
    """Raise SourceUnreadable for a file's name that is no UTF-8: neither Postgres nor JSON can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode(errors="backslashreplace")
        raise SourceUnreadable(f"the name of a file is not UTF-8: {shown}", todo="Rename it.") from None


def _local_pattern(location: str) -> str:
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
    # The folder that no wild card can change: so nothing outside the roots is even listed.
    path = Path(pattern)
    while glob.has_magic(str(path)) and not path.exists():
        path = path.parent
    return path


def _local_paths(pattern: str, declared: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return _paths_in_folder(path, declared)
    if path.is_file():
        return [path]
    if path.exists():
        raise SourceUnreadable(f"{path} is neither a file nor a folder")
    # Asked after exists(): a file whose name holds brackets is itself, not a pattern.
    matches = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - takes absolute patterns
    files = [match for match in matches if match.is_file()]
    if not files and (folders := [match for match in matches if match.is_dir()]):
        raise SourceUnreadable(f"{folders[0]} is a folder, not a file; this glob matches no files")
    if not files:
        raise SourceMissing(f"there is nothing at {pattern}")
    return files


def _paths_in_folder(folder: Path, declared: str) -> list[Path]:
    visible = [child for child in folder.iterdir() if not child.name.startswith(".")]
    files = [child for child in visible if child.is_file() and _is_data(child.name, declared)]
    if not files and _format_by_name(folder.name):
        raise SourceUnreadable(f"{folder} is a folder, not a file")
    if not files:
        kinds = "csv or jsonl or parquet" if declared == "auto" else declared
        raise SourceMissing(f"there is no {kinds} file in the folder {folder}")
    return files


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


def _format_of(spec: BranchSpec, files: list[InputFile]) -> Format:
    if spec.format != "auto":
        return spec.format
    formats: set[Format | None] = {_format_by_name(file.name) for file in files}
    format_ = next(iter(formats))
    if len(formats) > 1 or format_ is None:
        _refuse_unsupported(files[0].name)
        names = ", ".join(file.name for file in files[:5])
        raise SourceUnreadable(
            f"the names of the files do not agree on one format: {names}",
            todo="Say `format: csv` (jsonl, json, parquet) in the branch file, and let its location be of one kind.",
        )
    return format_


def _format_by_name(name: str) -> Format | None:
    unpacked = uncompressed_name(name)
    named = _FORMATS_BY_SUFFIX.get(PurePath(unpacked).suffix.lower())
    return None if named == "parquet" and unpacked != name else named


def _refuse_unsupported(name: str) -> None:
    kind, how = _UNSUPPORTED.get(PurePath(uncompressed_name(name)).suffix.lower(), (None, None))
    if kind:
        raise SourceUnreadable(f"{name} is {kind}", todo=f"{how}, then run again with that file.")
