"""The version of the code and libraries that a stored result was made by: where it differs, the result is made anew."""

import hashlib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path


def code_version(files: Iterable[Path], libraries: Sequence[str]) -> str:
    """Sixteen hex digits of these files, in their order, and each library with its version."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    return "+".join([digest, *(f"{name}-{version(name)}" for name in libraries)])
