"""SQL lives in `.sql` files beside the module that runs it: named statements, each with a line of purpose.

    -- name: a_python_name
    -- What it is for, in a line.
    select …;

`load(__name__, "items.sql")` gives them by name, as `psycopg.sql.SQL`: identifiers go in by `.format()`,
values as `%(parameters)s`. Nothing else ever builds SQL.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import LiteralString, cast

from psycopg import sql

_HEAD = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\n((?:-- .*\n)+)", re.MULTILINE)


@cache
def load(module: str, filename: str) -> Mapping[str, sql.SQL]:
    """Load the statements of a file beside `module`. Raises ValueError for one without name or purpose."""
    package = module.rpartition(".")[0]
    text = files(package).joinpath(filename).read_text(encoding="utf-8")
    heads = list(_HEAD.finditer(text))
    if not heads or text.count("-- name:") != len(heads):
        raise ValueError(f"{filename}: every statement needs '-- name: x' and a line of purpose")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found = {
        head[1]: sql.SQL(cast(LiteralString, text[head.end() : end].strip().removesuffix(";")))
        for head, end in zip(heads, ends, strict=True)
    }
    if len(found) != len(heads):
        raise ValueError(f"{filename}: a name is used twice")
    return MappingProxyType(found)
