"""How a location names a relation: a libpq URL or connection string, and the table in it.

postgresql://reader@db.example.org/shop?sslmode=verify-full&table=public.places
service=shop table=public.places
${SHOP_URL}?table=public.places
"""

import re
from urllib.parse import unquote

_URL = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_URL_IN_VARIABLE = re.compile(r"\$\{\w+\}[?&]table=")
_WORDS = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|passfile|service|sslmode|table)\s*=\s*\S+\s+\w")
_VARIABLE = re.compile(r"\$\{\w+\}")
_OF_URL = re.compile(r"[?&]table=([^&]*)")
_OF_WORDS = re.compile(r"(?:^|\s)table\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")  # in libpq's quotes, where it has spaces
_SECRETS = re.compile(
    r"(?:^|[?&\s])(password|sslpassword|oauth_client_secret|scram_client_key|scram_server_key)\s*=\s*'?[^'&\s]"
)


def is_relation(location: str) -> bool:
    """Whether these words name a table rather than files; of a URL that is a variable, by the table behind it."""
    return bool(_URL.match(location) or _URL_IN_VARIABLE.match(location)) or _is_words(location)


def split_location(location: str) -> tuple[str, str]:
    """(what libpq takes, the table as SQL writes it) of a location. Raises ValueError, which does not quote it."""
    found = list((_OF_WORDS if _is_words(location) else _OF_URL).finditer(location))
    if not found:
        raise ValueError("must name its table, as in postgresql://user@host/database?table=schema.name")
    before, behind = location[: found[-1].start()], location[found[-1].end() :]
    if found[-1][0].startswith("?"):
        behind = behind.replace("&", "?", 1)
    return before + behind, _as_sql(location, found[-1][1])


def has_secret(location: str) -> bool:
    """Whether a parameter is a password or a key of libpq's, however its name is spelled. Raises ValueError."""
    words = _VARIABLE.sub("", split_location(location)[0])
    return bool(_SECRETS.search(words if _is_words(location) else unquote(words)))


def table_name(location: str) -> str:
    """The bare name of the table: what a branch is called that nobody named."""
    found = (_OF_WORDS if _is_words(location) else _OF_URL).findall(location)
    return _as_sql(location, found[-1]).rpartition(".")[2].strip('"') if found else location


def _as_sql(location: str, table: str) -> str:
    if not _is_words(location):
        return unquote(table)
    return re.sub(r"\\(.)", r"\1", table[1:-1]) if table.startswith("'") else table


def _is_words(location: str) -> bool:
    return bool(_WORDS.match(location) and _OF_WORDS.search(location))
