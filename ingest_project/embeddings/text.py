"""The text that is embedded for an item: the fields of the model's template, one a line; nulls are left out."""

from collections.abc import Sequence

from psycopg import sql

from ingest_project.errors import UsageError
from ingest_project.item import embeddable_fields

# Mean number of UTF-8 bytes in usual tokenizers: good enough for budgets and for estimates of cost.
BYTES_PER_TOKEN = 4
# For limits that must not be exceeded: numbers and names take more tokens than sentences.
_MIN_BYTES_PER_TOKEN = 2


def text_expression(template: Sequence[str]) -> sql.Composed:
    """The text as an SQL expression over a row `i` of core.items. Raises UsageError.

    Only embeddable fields are allowed: `embed_hash`, by which a changed text is noticed, covers no others.
    """
    allowed = embeddable_fields()
    if unknown := [field for field in template if field not in allowed]:
        raise UsageError(
            f"the template names {', '.join(map(repr, unknown))}, which is not embedded",
            todo=f"Embeddable fields are: {', '.join(allowed)}.",
        )
    fields = sql.SQL(", ").join(sql.Identifier("i", field) for field in template)
    return sql.SQL("concat_ws({}, {})").format(sql.Literal("\n"), fields)


def truncated(text: str, tokens: int | None) -> str:
    """The beginning of a text that surely has no more than so many tokens."""
    return text if tokens is None else text.encode()[: tokens * _MIN_BYTES_PER_TOKEN].decode("utf-8", "ignore")
