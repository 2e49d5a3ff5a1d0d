"""Locations that name a relation: a libpq URL or key/value connection string (`conninfo`), with the table in it.

postgresql://reader@db.example.org/shop?sslmode=verify-full&table=public.places
service=shop table=public.places
${SHOP_URL}?table=public.places
"""

import re
from urllib.parse import unquote

_URL = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_URL_IN_VARIABLE = re.compile(r"\$\{\w+\}[?&]table=")
_CONNINFO = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|passfile|service|sslmode|table)\s*=\s*\S+\s+\w")
_VARIABLE = re.compile(r"\$\{\w+\}")
_TABLE_IN_URL = re.compile(r"[?&]table=([^&]*)")
_TABLE_IN_CONNINFO = re.compile(r"(?:^|\s)table\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")  # libpq quotes values with spaces
_SECRETS = re.compile(
    r"(?:^|[?&\s])(password|sslpassword|oauth_client_secret|scram_client_key|scram_server_key)\s*=\s*'?[^'&\s]"
)


def is_relation(location: str) -> bool:
    """Whether a location names a table rather than files; a variable that holds the URL is known by its `table=`."""
    return bool(_URL.match(location) or _URL_IN_VARIABLE.match(location)) or _is_conninfo(location)


def split_location(location: str) -> tuple[str, str]:
    """Split a location into the part for libpq and the table as SQL writes it.

    Raises ValueError, whose message does not quote the location.
    """
    matches = list((_TABLE_IN_CONNINFO if _is_conninfo(location) else _TABLE_IN_URL).finditer(location))
    if not matches:
        raise ValueError("must name its table, as in postgresql://user@host/database?table=schema.name")
    match = matches[-1]
    before, after = location[: match.start()], location[match.end() :]
    if match[0].startswith("?"):
        after = after.replace("&", "?", 1)
    return before + after, _table_as_sql(location, match[1])


def has_secret(location: str) -> bool:
    """Whether a parameter of it is a password or key of libpq, URL-encoded ones included. Raises ValueError."""
    parameters = _VARIABLE.sub("", split_location(location)[0])
    return bool(_SECRETS.search(parameters if _is_conninfo(location) else unquote(parameters)))


def table_name(location: str) -> str:
    """The bare name of the table: the default name of its branch."""
    tables = (_TABLE_IN_CONNINFO if _is_conninfo(location) else _TABLE_IN_URL).findall(location)
    return _table_as_sql(location, tables[-1]).rpartition(".")[2].strip('"') if tables else location


def _table_as_sql(location: str, table: str) -> str:
    if not _is_conninfo(location):
        return unquote(table)
    return re.sub(r"\\(.)", r"\1", table[1:-1]) if table.startswith("'") else table


def _is_conninfo(location: str) -> bool:
    return bool(_CONNINFO.match(location) and _TABLE_IN_CONNINFO.search(location))
