"""The statements of items.sql, with column lists made from the declaration of an item."""

from functools import cache

from psycopg import sql

from ingest_project.branches.registry import Branch
from ingest_project.item import KEY, columns
from ingest_project.postgres import statements

_RAW = statements.load(__name__, "items.sql")
# What an item says, as it is written: all columns but the key, and what goes with them.
CONTENT = (*(name for name in columns() if name != KEY), "attributes", "issues", "content_hash", "embed_hash")
STAGED = (KEY, *CONTENT, "source_updated_at")
_ALL = sql.SQL("")
# What a part holds as text and Postgres does not.
TYPES = {
    "attributes": "jsonb",
    "issues": "jsonb",
    "content_hash": "uuid",
    "embed_hash": "uuid",
    "source_updated_at": "timestamptz",
}


def _names(names: tuple[str, ...], prefix: str = "") -> sql.Composed:
    qualified = [sql.Identifier(*([prefix] if prefix else []), name) for name in names]
    return sql.SQL(", ").join(qualified)


def _definitions() -> sql.Composed:
    kinds = {name: column.sql for name, column in columns().items()} | TYPES
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(name),
            sql.SQL(kinds[name]),  # pyright: ignore[reportArgumentType] - types of our own declaration
            sql.SQL(' collate "C"' if name == KEY else ""),
        )
        for name in STAGED
    )


def _counts() -> sql.Composed:
    compared = tuple(name for name in CONTENT if not name.endswith("_hash"))
    one = sql.SQL(
        "count(*) filter (where i.{name} is distinct from s.{name}) as {name}, "
        "min(s.external_id) filter (where i.{name} is distinct from s.{name}), "
        "max(s.external_id) filter (where i.{name} is distinct from s.{name})"
    )
    return sql.SQL(", ").join(one.format(name=sql.Identifier(name)) for name in compared)


@cache
def statement(name: str) -> sql.SQL | sql.Composed:
    """A statement that needs no more than the columns of an item."""
    raw = _RAW[name]
    match name:
        case "make_stage":
            return raw.format(definitions=_definitions())
        case "copy_stage":
            return raw.format(columns=_names(STAGED))
        case "copy_items":
            return raw.format(columns=_names(CONTENT))
        case "update_items" | "insert_items":
            return raw.format(columns=_names(CONTENT), values=_names(CONTENT, "s"))
        case _:
            return raw


def judging(
    name: str, kind: sql.Composable, branch: Branch, *, lock: bool = False, within: sql.Composable = _ALL
) -> sql.Composed:
    """A statement that judges rows of a branch by `kind`; `lock` locks the live rows for those who will write.

    `within` says which live rows there can be to judge by, where that is less than all.
    """
    ids = {"source_id": sql.Literal(branch.source_id), "branch_id": sql.Literal(branch.branch_id)}
    return _RAW[name].format(kind=kind, lock=sql.SQL("for no key update of i" if lock else ""), within=within, **ids)


def analyzing_history(activation_id: int) -> sql.Composed:
    """What the planner is to know of the block of history that an activation writes to."""
    return _RAW["analyze_history"].format(history=sql.Identifier("core", f"item_versions_{activation_id // 1000:06}"))


def counting(source_id: int) -> sql.Composed:
    """Which columns differ: in how many rows, the least key and the greatest; three values a column."""
    return _RAW["count_column_changes"].format(counts=_counts(), source_id=sql.Literal(source_id))
