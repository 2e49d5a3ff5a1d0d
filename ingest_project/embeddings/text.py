"""What text an item becomes for a model: the fields of its template, in order, a line each; nulls are left out."""

from collections.abc import Sequence

from psycopg import sql

from ingest_project.errors import UsageError
from ingest_project.item import embeddable_fields

# Of UTF-8, in the usual tokenizers: enough to keep calls within a budget and to say beforehand what a run costs.
BYTES_PER_TOKEN = 4
# Numbers and names cost more tokens than sentences do.
_SURELY_A_TOKEN = 2


def text_of(template: Sequence[str]) -> sql.Composed:
    """The text as an expression over a row `i` of core.items. Raises UsageError.

    Only embeddable fields: `embed_hash`, by which a changed text is known, covers those and no others.
    """
    known = embeddable_fields()
    if wrong := [field for field in template if field not in known]:
        raise UsageError(
            f"the template names {', '.join(map(repr, wrong))}, which is not embedded",
            todo=f"Embeddable fields are: {', '.join(known)}.",
        )
    fields = sql.SQL(", ").join(sql.Identifier("i", field) for field in template)
    return sql.SQL("concat_ws({}, {})").format(sql.Literal("\n"), fields)


def shortened(text: str, tokens: int | None) -> str:
    """As much of the beginning of a text as a model that takes so many tokens is sure to take."""
    return text if tokens is None else text.encode()[: tokens * _SURELY_A_TOKEN].decode("utf-8", "ignore")
