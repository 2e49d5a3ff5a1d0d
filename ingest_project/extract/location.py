"""From the location of a branch to files: one path, a glob or a folder, inside the allowed roots."""

import glob
import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SourceMissing, SourceUnreadable
from ingest_project.settings import settings

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FORMATS: dict[str, Literal["csv", "parquet"]] = {
    ".csv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def resolve(spec: BranchSpec) -> list[Path]:
    """The files of a branch, sorted by path. Raises SourceMissing, SourceUnreadable."""
    where = {"branch": spec.name, "location": spec.location}
    pattern = _local(_expanded(spec), where)
    found = sorted(path for path in _candidates(pattern) if path.is_file())
    if not found:
        if Path(pattern).exists() and not Path(pattern).is_dir():
            raise SourceUnreadable("the location is neither a file nor a folder", where=where)
        raise SourceMissing(f"there is no file at {pattern}", where=where)
    for path in found:
        _refuse_outside_roots(path, where)
    return found


def _expanded(spec: BranchSpec) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise SourceMissing(
                f"the location needs the environment variable {match[1]}, which is not set",
                where={"branch": spec.name, "location": spec.location},
            )
        return os.environ[match[1]]

    return _VARIABLE.sub(value, spec.location)


def _local(location: str, where: dict[str, str]) -> str:
    if location.startswith("file://"):
        return unquote(urlsplit(location).path)
    if "://" in location:
        scheme = location.partition("://")[0]
        raise SourceUnreadable(f"this version reads local files, not {scheme}://", where=where)
    return str(Path(location).expanduser())


def _candidates(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        return [
            child for child in path.iterdir() if child.suffix.lower() in _FORMATS and not child.name.startswith(".")
        ]
    # A file whose name holds brackets is itself, not a pattern.
    return [path] if path.exists() else [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern


def _refuse_outside_roots(path: Path, where: dict[str, str]) -> None:
    roots = settings().roots
    if roots is None:
        return
    allowed = [Path(root).expanduser().resolve() for root in roots.split(":") if root]
    if not any(path.resolve().is_relative_to(root) for root in allowed):
        raise SourceUnreadable(f"{path} is outside the folders that INGEST_ROOTS allows", where=where)


def format_of(spec: BranchSpec, paths: list[Path]) -> Literal["csv", "parquet"]:
    """csv or parquet: as declared, else by the extension that all files share. Raises SourceUnreadable."""
    if spec.format != "auto":
        return spec.format
    found = {_FORMATS.get(path.suffix.lower()) for path in paths}
    if len(found) != 1 or None in found:
        names = ", ".join(path.name for path in paths[:5])
        raise SourceUnreadable(
            f"the format cannot be told from the names of the files: {names}",
            where={"branch": spec.name, "location": spec.location},
            todo="Say `format: csv` or `format: parquet` in the branch file, and let it hold one kind only.",
        )
    return next(kind for kind in found if kind is not None)
