"""Named SQL statements, loaded from the `.sql` file beside the module that runs them.

    -- name: a_python_name
    -- What it is for, in a line.
    select …;

`load(__name__, "items.sql")` returns them by name, as `psycopg.sql.SQL`. Identifiers are filled in by `.format()`,
values are passed as `%(parameters)s`. Nothing else builds SQL.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import LiteralString, cast

from psycopg import sql

_HEADER = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\n((?:-- .*\n)+)", re.MULTILINE)


@cache
def load(module: str, filename: str) -> Mapping[str, sql.SQL]:
    """Load the statements of a file beside `module`. Raises ValueError for one without name or purpose."""
    package = module.rpartition(".")[0]
    text = files(package).joinpath(filename).read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    if not headers or text.count("-- name:") != len(headers):
        raise ValueError(f"{filename}: every statement needs '-- name: x' and a line of purpose")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    statements = {
        header[1]: sql.SQL(cast(LiteralString, text[header.end() : end].strip().removesuffix(";")))
        for header, end in zip(headers, ends, strict=True)
    }
    if len(statements) != len(headers):
        raise ValueError(f"{filename}: a name is used twice")
    return MappingProxyType(statements)
