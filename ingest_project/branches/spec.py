"""The branch file: one pydantic model that validates it and gives its JSON schema. Unknown settings are refused."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import babel
import pycountry
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ingest_project.branches.encodings import python_encoding
from ingest_project.branches.limits import Limits
from ingest_project.branches.relation import has_secret, is_relation
from ingest_project.codes import ISSUES
from ingest_project.errors import SpecInvalid
from ingest_project.item import KEY, REQUIRED, columns

_SECRET = re.compile(
    r"://[^/@\s]*:[^/@\s]+@"
    r"|[?&]([\w-]*[-_])?(sig|signature|token|password|passwd|pwd|secret|credential|(api|access)[-_]?key|auth)=[^&\s]",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\$\{\w+\}")
# `time_format` is a pattern of strptime or one of these: numbers since 1970, with as many units in a second.
EPOCHS = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6}
# A pattern is tried on this time: its day is no month, and the year is no leap year.
_SAMPLE_TIME = datetime(2023, 11, 24, 13, 45, 56, tzinfo=UTC)
_OF_THIS_MACHINE = re.compile(r"%[-_^#]?[ZcxX]")  # directives that depend on the locale or the time zone
# The settings and limits of the first release: `digest` covers them whatever their values.
_FIRST_SETTINGS = frozenset(
    {
        *("name", "source", "location", "format", "delimiter", "encoding", "key", "updated_at", "mapping", "unmapped"),
        *("country", "time_zone", "locale", "priority", "missing", "embed", "limits"),
    }
)
_FIRST_LIMITS = frozenset({"max_age", "max_reject_ratio"})


def _printable(text: str) -> str:
    if text != text.strip() or any(unicodedata.category(char)[0] == "C" for char in text):
        raise ValueError("must not have control characters, or white space around it")
    if "..." in text:
        raise ValueError("must not contain '...' (Dagster keeps it for ranges of partitions)")
    return text


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not have the character NUL, which Postgres cannot store")
    return text


def _no_secret(location: str) -> str:
    hidden = is_relation(location) and has_secret(location)
    if hidden or _SECRET.search(_VARIABLE.sub("", location)):
        raise ValueError("must not carry a password or a signed query: name an ${ENVIRONMENT_VARIABLE} instead")
    return location


def _country(code: str) -> str:
    country = pycountry.countries.get(alpha_2=code)  # which ignores upper and lower case
    if code != "XK" and (country is None or country.alpha_2 != code):
        raise ValueError("must be an ISO 3166-1 alpha-2 code such as DE")
    return code


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())  # cached, since each call reads all files of the database


def _time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError("must be an IANA time zone such as Europe/Berlin")
    return name


def _time_format(text: str) -> str:
    written = _SAMPLE_TIME.strftime(text)
    try:
        read = _SAMPLE_TIME if text in EPOCHS else datetime.strptime(written, text)
    except ValueError:
        read = None
    is_same = read is not None and read.date() == _SAMPLE_TIME.date() and read.hour in (0, _SAMPLE_TIME.hour)
    if not is_same or _OF_THIS_MACHINE.search(text):
        raise ValueError(
            "must say year, month and day (and no %Z, %c, %x) as strptime does, such as %d/%m/%Y %H:%M, or be one of "
            f"{', '.join(EPOCHS)}"
        )
    return text


def _locale(name: str) -> str:
    try:
        return str(babel.Locale.parse(name.replace("-", "_")))
    except (ValueError, babel.UnknownLocaleError) as error:
        raise ValueError("must be a locale such as en or de_DE") from error


def _expand_column(mapping: object) -> object:
    return {"column": mapping} if isinstance(mapping, str) else mapping


Text = Annotated[str, Field(min_length=1), AfterValidator(_storable)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldMapping(_Strict):
    """Where an item field comes from: a source column, which may have a default for blanks, or a constant."""

    column: Text | None = Field(default=None, description="A column of the source.")
    constant: Text | None = Field(default=None, description="The same value for every row.")
    default: Text | None = Field(default=None, description="The value where the column is blank.")

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either a column or a constant")
        if self.constant is not None and self.default is not None:
            raise ValueError("a constant needs no default")
        return self


class BranchSpec(_Strict):
    """A branch as its file declares it: where its data is and how that becomes items.

    Branches of one source share its keys.
    """

    name: Annotated[str, AfterValidator(_printable)] = Field(
        min_length=1, max_length=200, description="Also the Dagster partition key."
    )
    source: Annotated[str, AfterValidator(_printable)] = Field(
        min_length=1, max_length=200, description="The namespace of the keys; branches may share it."
    )
    location: Annotated[Text, AfterValidator(_no_secret)] = Field(
        description="A file, a glob, a folder or a URL (s3://, https://) of CSV, JSON Lines, JSON (all also as .gz or "
        ".zst) or Parquet; or a relation, postgresql://user@host/database?table=schema.name. ${NAME} is read when it "
        "runs.",
    )
    format: Literal["auto", "csv", "jsonl", "json", "parquet"] = Field(
        default="auto", description="auto goes by the files' extension; json is one document with an array of rows."
    )
    delimiter: Literal[",", ";", "\t", "|"] = Field(default=",", description="Between the values of CSV files.")
    quoted: bool = Field(
        default=True, strict=True, description="Of CSV files; if not, a quote is a letter as any other."
    )
    skip_lines: int = Field(default=0, ge=0, le=1000, strict=True, description="Of CSV files: before the header.")
    encoding: Annotated[str, AfterValidator(python_encoding)] = Field(
        default="utf-8", description="Of CSV and JSON files, e.g. windows-1252 or utf-16."
    )
    nested: Literal["keep", "flatten"] = Field(
        default="keep",
        description="Objects of JSON and Parquet: kept as one column, or a column for each value in them, as "
        "address.city; with flatten, addresses.0.city may be mapped as well.",
    )
    key: Text = Field(description="The column that names a row within its source.")
    updated_at: Text | None = Field(
        default=None, description="The column that says how new a row is (ISO 8601); newer rows win."
    )
    cursor: Text | None = Field(
        default=None,
        description="A column of a relation that is unique, never null and never changed: a snapshot of it that was "
        "cut off goes on behind the last part. Without it, it starts again.",
    )
    mapping: dict[str, Annotated[FieldMapping, BeforeValidator(_expand_column)]] = Field(
        description="Item field to source column (or {column, default} or {constant})."
    )
    unmapped: Literal["keep", "drop"] = Field(
        default="keep", description="Other columns: kept in attributes, or dropped."
    )
    country: Annotated[str, AfterValidator(_country)] | None = Field(
        default=None, description="ISO alpha-2 code of rows that name no country."
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="UTC", description="Of times without an offset."
    )
    time_format: Annotated[str, AfterValidator(_time_format)] | None = Field(
        default=None,
        description="How `updated_at` is written where it is not ISO 8601: as strptime says it, such as "
        "%d/%m/%Y %H:%M, or epoch_s, epoch_ms, epoch_us.",
    )
    locale: Annotated[str, AfterValidator(_locale)] = Field(
        default="en", description="How numbers are written, e.g. de."
    )
    priority: int = Field(
        default=0,
        ge=-32768,
        le=32767,
        strict=True,
        description="Decides between branches at equal time; unique within a source.",
    )
    missing: Literal["keep", "tombstone"] = Field(
        default="keep",
        description="What happens to items that a new activation lacks: they are kept, or marked as deleted (only for "
        "the sole branch of a source, whose every activation is all that there is).",
    )
    embed: bool = Field(default=True, strict=True, description="Whether items of this branch get embeddings.")
    required: list[str] = Field(default=[], description="Item fields without which a row is rejected.")
    reject_on: list[str] = Field(
        default=[], description="Codes of issues (`ingest codes`) that reject a row rather than set its value aside."
    )
    sentinels: dict[str, list[Text]] = Field(
        default={}, description="Item field to texts that stand for 'not known' in it, as '-9999' or 'tbd'."
    )
    contract: Literal["freeze", "warn", "evolve"] = Field(
        default="warn",
        description="When columns are renamed, new, missing or retyped since the last time: block, say so, or take it "
        "silently. A missing column that the branch names is always refused.",
    )
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        for setting, names in (
            *(("mapping", self.mapping), ("required", self.required), ("sentinels", self.sentinels)),
            ("limits.max_null_ratio", set(self.limits.max_null_ratio) - {"source_updated_at"}),
        ):
            unknown = sorted(set(names) - (set(columns()) - {KEY}))
            if unknown:
                raise ValueError(f"{setting} names no item field: {', '.join(unknown)}; fields are {_field_names()}")
        missing = [name for name in REQUIRED if name != KEY and name not in self.mapping]
        if missing:
            raise ValueError(f"mapping must say where {', '.join(missing)} comes from")
        return self

    @model_validator(mode="after")
    def _check_cursor(self) -> Self:
        if self.cursor and not is_relation(self.location) and not _VARIABLE.match(self.location):
            raise ValueError("cursor is a column of a relation (postgresql://…); files go on without it")
        if self.cursor and self.missing == "tombstone":
            raise ValueError("missing: tombstone takes one state of a relation; a cursor may go on in another")
        return self

    @model_validator(mode="after")
    def _check_nested(self) -> Self:
        if self.nested == "flatten" and is_relation(self.location):
            raise ValueError("nested: flatten is for files; select what is inside a column in a view")
        return self

    @model_validator(mode="after")
    def _check_reject_on(self) -> Self:
        unknown = sorted(set(self.reject_on) - set(ISSUES))
        if unknown:
            raise ValueError(f"reject_on names no issue: {', '.join(unknown)}; `ingest codes` lists them")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def declared_columns(self) -> list[str]:
        """The source columns that the branch file names, in its order; all must be there."""
        names = [self.key, self.updated_at, *(field.column for field in self.mapping.values())]
        return list(dict.fromkeys(name for name in names if name is not None))

    def canonical(self) -> dict[str, Any]:
        """The spec as JSON with every default, as it is stored and compared."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """A hash of all that the spec says (sha256, 32 hex digits); upgrading this project does not change it."""
        text = json.dumps(_without_new_defaults(self.canonical()), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _without_new_defaults(canonical: dict[str, Any]) -> dict[str, Any]:
    """The spec without settings that the first release had not, where they have their defaults."""
    limits = {
        name: value for name, value in canonical["limits"].items() if name in _FIRST_LIMITS or value not in (None, {})
    }
    limits["max_reject_ratio"] = 1.0 if limits["max_reject_ratio"] is None else limits["max_reject_ratio"]
    later = {name: BranchSpec.model_fields[name].default for name in canonical if name not in _FIRST_SETTINGS}
    kept = {name: value for name, value in canonical.items() if name not in later or value != later[name]}
    return {**kept, "limits": limits}


def _field_names() -> str:
    return ", ".join(name for name in columns() if name != KEY)


def parse_spec(content: object, *, origin: str) -> BranchSpec:
    """Validate the content of a branch file. Raises SpecInvalid with one line per mistake."""
    if not isinstance(content, Mapping):
        raise SpecInvalid("a branch file must be a mapping of settings", where={"file": origin})
    try:
        return BranchSpec.model_validate(dict(content))
    except ValidationError as error:
        raise SpecInvalid(_list_mistakes(error), where={"file": origin}) from None


class _Loader(yaml.SafeLoader):
    """Refuses a setting that is given twice; PyYAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def load_spec(path: Path) -> BranchSpec:
    """Read a branch file (YAML). Relative locations in it are relative to the file."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SpecInvalid(f"cannot read the branch file: {error.strerror}", where={"file": path}) from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # a date such as 2024-99-99 is a ValueError
        raise SpecInvalid(f"not a YAML file: {error}", where={"file": path}) from None
    spec = parse_spec(content, origin=str(path))
    return spec.model_copy(update={"location": _absolute(spec.location, path)})


def _absolute(location: str, path: Path) -> str:
    if "://" in location or location.startswith(("/", "~", "$")) or is_relation(location):
        return location
    return str(path.absolute().parent / location)


def _list_mistakes(error: ValidationError) -> str:
    lines = [
        f"{'.'.join(str(step) for step in mistake['loc']) or 'file'}: {mistake['msg'].removeprefix('Value error, ')}"
        for mistake in error.errors(include_input=False, include_url=False)
    ]
    return "the branch file cannot be applied:\n    " + "\n    ".join(lines)
