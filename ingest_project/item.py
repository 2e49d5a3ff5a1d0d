"""The item: the one declaration of the fields of a normalized row.

Constraints, documentation, JSON schema, the Arrow schema of parts, the columns of `core.items`, and what is hashed and
embedded all come from this model. Field names follow Overture places, schema.org PostalAddress and libaddressinput.
A value that is in an `Item` is in normal form: normalizing it again changes nothing.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Literal, Self

import pyarrow as pa
from pydantic import AfterValidator, AnyUrl, BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True)
class Column:
    """How a field is stored. `embed`: its text may be part of the text that a model embeds."""

    sql: str
    embed: bool = False


ARROW_OF_SQL = {
    "text": pa.string(),
    "double precision": pa.float64(),
    "numeric(14,4)": pa.decimal128(14, 4),
}

# Characters that show nothing: with them, keys that look the same differ.
INVISIBLE = frozenset(
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\u2800\u3164\ufeff\uffa0"
)
# Joiners belong to the spelling of Persian, Indic scripts and emoji; next to ASCII characters they are dirt.
JOINERS = frozenset("\u200c\u200d")
# All characters that `is_kept` may refuse: a text without any need not be checked character by character.
_SPACES = "\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # other than U+0020 and control characters
SUSPECT = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_SPACES}{''.join(sorted(INVISIBLE | JOINERS))}]")


def is_clean(text: str, *, multiline: bool = False) -> bool:
    """True for NFC text without controls, invisible characters, or white space other than single spaces."""
    if not unicodedata.is_normalized("NFC", text) or text != text.strip():
        return False
    lines = text.split("\n") if multiline else [text]
    return all(_is_clean_line(line) for line in lines)


def _is_clean_line(line: str) -> bool:
    if "  " in line or line != line.strip(" "):
        return False
    return all(is_kept(line, match.start()) for match in SUSPECT.finditer(line))


def is_kept(line: str, index: int) -> bool:
    """Whether the character at this index of a line may be stored."""
    char = line[index]
    if char in JOINERS:
        neighbours = line[index - 1 : index] + line[index + 1 : index + 2]
        return len(neighbours) == 2 and not any(near.isascii() or near in JOINERS for near in neighbours)  # noqa: PLR2004
    return char == " " or not (char.isspace() or char in INVISIBLE or unicodedata.category(char) in ("Cc", "Cs"))


def _clean(text: str) -> str:
    if not is_clean(text):
        raise ValueError("has control or invisible characters, or white space to fold")
    return text


def _clean_lines(text: str) -> str:
    if not is_clean(text, multiline=True):
        raise ValueError("has control or invisible characters, or white space to fold")
    return text


def _plain_url(text: str) -> str:
    url = AnyUrl(text)
    if url.scheme not in ("http", "https") or url.username or url.password:
        raise ValueError("must be http or https, without credentials")
    return text


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must be finite")
    return number + 0.0  # -0.0 becomes 0.0: they are the same place


Line = Annotated[str, AfterValidator(_clean)]
Lines = Annotated[str, AfterValidator(_clean_lines)]
Url = Annotated[str, AfterValidator(_plain_url)]
Degrees = Annotated[float, AfterValidator(_finite)]
TEXT = Column("text")
EMBEDDED = Column("text", embed=True)


class Item(BaseModel):
    """One place, product or listing in normal form."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    external_id: Annotated[Line, TEXT] = Field(
        min_length=1, max_length=200, description="The key of the row in its source."
    )
    name: Annotated[Line, EMBEDDED] = Field(min_length=1, max_length=500, description="What people call it.")
    category: Annotated[Line | None, EMBEDDED] = Field(
        default=None, min_length=1, max_length=200, description="What kind of thing it is, in the source's words."
    )
    description: Annotated[Lines | None, EMBEDDED] = Field(
        default=None, min_length=1, max_length=20_000, description="Free text; line breaks are kept."
    )
    status: Annotated[Literal["open", "temporarily_closed", "permanently_closed"] | None, TEXT] = Field(
        default=None, description="Whether it is in business."
    )
    street: Annotated[Line | None, EMBEDDED] = Field(
        default=None,
        min_length=1,
        max_length=300,
        description="Street line as written; abbreviations are not expanded.",
    )
    house_number: Annotated[Line | None, EMBEDDED] = Field(
        default=None, min_length=1, max_length=50, description="With its letter or range: 12a, 3-5."
    )
    unit: Annotated[Line | None, TEXT] = Field(
        default=None, min_length=1, max_length=100, description="Suite, apartment, floor."
    )
    po_box: Annotated[Line | None, TEXT] = Field(
        default=None, min_length=1, max_length=100, description="Number of the post office box."
    )
    sublocality: Annotated[Line | None, EMBEDDED] = Field(
        default=None, min_length=1, max_length=200, description="Quarter, borough, dependent locality."
    )
    locality: Annotated[Line | None, EMBEDDED] = Field(default=None, min_length=1, max_length=200, description="City.")
    region_name: Annotated[Line | None, EMBEDDED] = Field(
        default=None, min_length=1, max_length=200, description="State, province, as written."
    )
    region_code: Annotated[str | None, TEXT] = Field(
        default=None, pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$", description="ISO 3166-2."
    )
    postal_code: Annotated[Line | None, TEXT] = Field(
        default=None, min_length=1, max_length=20, description="As its country writes it."
    )
    country_code: Annotated[str | None, EMBEDDED] = Field(
        default=None, pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2; XK for Kosovo."
    )
    latitude: Annotated[Degrees | None, Column("double precision")] = Field(
        default=None, ge=-90, le=90, description="WGS 84 degrees north."
    )
    longitude: Annotated[Degrees | None, Column("double precision")] = Field(
        default=None, ge=-180, le=180, description="WGS 84 degrees east."
    )
    phone: Annotated[str | None, TEXT] = Field(default=None, pattern=r"^\+[1-9][0-9]{4,14}$", description="E.164.")
    phone_ext: Annotated[str | None, TEXT] = Field(
        default=None, pattern=r"^[0-9]{1,10}$", description="Extension behind the phone number."
    )
    website_url: Annotated[Url | None, TEXT] = Field(
        default=None, max_length=2000, description="http or https, without credentials."
    )
    price: Annotated[Decimal | None, Column("numeric(14,4)")] = Field(
        default=None, ge=0, max_digits=14, decimal_places=4, description="Amount in `currency`."
    )
    currency: Annotated[str | None, TEXT] = Field(default=None, pattern=r"^[A-Z]{3}$", description="ISO 4217.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        for first, second in PAIRS:
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(f"{first} and {second} go together")
        return self


# Fields that mean something only together: both are set, or both are null.
PAIRS = (("latitude", "longitude"), ("price", "currency"))

# The columns of a normalized row besides the fields of its item.
EXTRA_COLUMNS = {
    "attributes": "The columns that no field is mapped to: a JSON object.",
    "issues": "What normalization changed or set aside: a JSON array of {field, code, from, to}.",
    "content_hash": "Hash of the whole content: equal hashes mean equal items.",
    "embed_hash": "Hash of the fields that a model may embed: if it changes, a new embedding is requested.",
    "source_updated_at": "When the row was last changed at its source: decides between two versions of an item.",
    "row": "The number of the row in its source, from 1.",
}

KEY = "external_id"
REQUIRED = tuple(name for name, field in Item.model_fields.items() if field.is_required())


@cache
def columns() -> dict[str, Column]:
    """Field name to how it is stored, in declared order, the key first."""
    return {
        name: next(mark for mark in field.metadata if isinstance(mark, Column))
        for name, field in Item.model_fields.items()
    }


def content_fields() -> tuple[str, ...]:
    """All fields but the key, in declared order."""
    return tuple(name for name in columns() if name != KEY)


def embeddable_fields() -> tuple[str, ...]:
    """The fields whose text a model may embed, in declared order."""
    return tuple(name for name, column in columns().items() if column.embed)


@cache
def item_schema() -> pa.Schema:
    """A normalized row as Arrow: the fields of an item, then `EXTRA_COLUMNS`.

    `attributes` (JSON object) and `issues` (JSON array of {field, code, from, to}) are text; the hashes are 32
    hex digits; `source_updated_at` is UTC, microseconds; `row` counts the rows of the source from 1.
    """
    fields = [pa.field(name, ARROW_OF_SQL[column.sql]) for name, column in columns().items()]
    extra = {
        "attributes": pa.string(),
        "issues": pa.string(),
        "content_hash": pa.string(),
        "embed_hash": pa.string(),
        "source_updated_at": pa.timestamp("us", tz="UTC"),
        "row": pa.int64(),
    }
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in extra.items())])
