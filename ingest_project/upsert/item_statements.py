"""The statements of items.sql, their column lists filled in from the declaration of an item."""

from functools import cache

from psycopg import sql

from ingest_project.branches.registry import Branch
from ingest_project.item import KEY, columns
from ingest_project.postgres import statements

_RAW = statements.load(__name__, "items.sql")
# The columns that a source decides about, in the order in which they are written; the key is not among them.
CONTENT = (*(name for name in columns() if name != KEY), "attributes", "issues", "content_hash", "embed_hash")
STAGED = (KEY, *CONTENT, "source_updated_at")
_NO_CONDITION = sql.SQL("")
# The Postgres types of columns that are text in a part.
TYPES = {
    "attributes": "jsonb",
    "issues": "jsonb",
    "content_hash": "uuid",
    "embed_hash": "uuid",
    "source_updated_at": "timestamptz",
}


def _column_list(names: tuple[str, ...], prefix: str = "") -> sql.Composed:
    qualified = [sql.Identifier(*([prefix] if prefix else []), name) for name in names]
    return sql.SQL(", ").join(qualified)


def _column_definitions() -> sql.Composed:
    kinds = {name: column.sql for name, column in columns().items()} | TYPES
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(name),
            sql.SQL(kinds[name]),  # pyright: ignore[reportArgumentType] - types of our own declaration
            sql.SQL(' collate "C"' if name == KEY else ""),
        )
        for name in STAGED
    )


def _column_changes() -> sql.Composed:
    compared = tuple(name for name in CONTENT if not name.endswith("_hash"))
    column_change = sql.SQL(
        "count(*) filter (where i.{name} is distinct from s.{name}) as {name}, "
        "min(s.external_id) filter (where i.{name} is distinct from s.{name}), "
        "max(s.external_id) filter (where i.{name} is distinct from s.{name})"
    )
    return sql.SQL(", ").join(column_change.format(name=sql.Identifier(name)) for name in compared)


@cache
def statement(name: str) -> sql.SQL | sql.Composed:
    """A statement for which the columns of an item are all that is to be filled in."""
    raw = _RAW[name]
    match name:
        case "make_stage":
            return raw.format(definitions=_column_definitions())
        case "copy_stage":
            return raw.format(columns=_column_list(STAGED))
        case "copy_items":
            return raw.format(columns=_column_list(CONTENT))
        case "update_items" | "insert_items":
            return raw.format(columns=_column_list(CONTENT), values=_column_list(CONTENT, "s"))
        case _:
            return raw


def classify_statement(
    name: str, kind: sql.Composable, branch: Branch, *, lock: bool = False, within: sql.Composable = _NO_CONDITION
) -> sql.Composed:
    """A statement that classifies rows of a branch by the expression `kind`; `lock` locks the live rows for writing.

    `within` is a condition that restricts the live rows to compare with.
    """
    ids = {"source_id": sql.Literal(branch.source_id), "branch_id": sql.Literal(branch.branch_id)}
    return _RAW[name].format(kind=kind, lock=sql.SQL("for no key update of i" if lock else ""), within=within, **ids)


def analyze_history_statement(activation_id: int) -> sql.Composed:
    """The ANALYZE of the block of history that an activation writes to."""
    return _RAW["analyze_history"].format(history=sql.Identifier("core", f"item_versions_{activation_id // 1000:06}"))


def column_changes_statement(source_id: int) -> sql.Composed:
    """For each column three values: in how many staged rows it differs, and the lowest and highest key of those."""
    return _RAW["count_column_changes"].format(counts=_column_changes(), source_id=sql.Literal(source_id))
