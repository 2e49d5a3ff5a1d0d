"""The models that items are embedded by: declared, filled beside the active one, switched to, retired.

One is active: searches use it. Those that are filling have requests and vectors as well, so that switching to one is
the change of a word. The model that was active goes on being filled until it is retired: switching back costs nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from psycopg import sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ingest_project import failpoints
from ingest_project.errors import ModelIncomplete, ModelUnknown, UsageError
from ingest_project.item import embeddable_fields
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.postgres.migrations import ensure_vectors

_SQL = statements.load(__name__, "models.sql")
Provider = Literal["builtin", "openai", "fastembed"]
PROVIDERS: tuple[Provider, ...] = ("builtin", "openai", "fastembed")
Change = Literal["added", "changed", "unchanged"]


def _without_secrets(url: str) -> str:
    if "@" in url or "?" in url or not url.startswith(("http://", "https://")):
        raise ValueError("is http(s)://host/path, without credentials: name the key's variable instead")
    return url


Url = Annotated[str, AfterValidator(_without_secrets)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ModelOptions(BaseModel):
    """How a model is reached, and what it costs. Kept in Postgres for all to read: no secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Url | None = Field(default=None, description="Endpoint of an OpenAI-compatible server.")
    base_url_env: Variable | None = Field(default=None, description="Environment variable that holds the endpoint.")
    key_env: Variable | None = Field(default=None, description="Environment variable that holds the API key.")
    folder: str | None = Field(default=None, description="Folder of a local model; left empty, its hub.")
    usd_per_million_tokens: float | None = Field(default=None, ge=0, description="What its provider asks for them.")
    token_limit: int | None = Field(default=None, ge=1, description="Tokens that the model takes of one text.")
    half_precision: bool = Field(default=False, description="The index holds half-precision numbers: half its size.")


@dataclass(frozen=True)
class Model:
    """A row of core.embedding_models. (provider, model, version, dims, template version) identify it."""

    model_id: int
    provider: str
    model: str
    version: str
    dims: int
    template: tuple[str, ...]
    template_version: int
    state: str
    options: ModelOptions
    endpoint: str  # where its texts go; those that go to the same one wait together where it asks for that
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None

    @property
    def label(self) -> str:
        """As people call it."""
        return f"{self.provider}/{self.model}"

    def price_of(self, tokens: int) -> float | None:
        """US dollars, where the model declares what its provider asks."""
        asked = self.options.usd_per_million_tokens
        return None if asked is None else asked * tokens / 1e6

    @property
    def partition(self) -> sql.Identifier:
        return sql.Identifier("core", f"item_embeddings_{self.model_id}")


@dataclass(frozen=True)
class Declared:
    """A model as somebody asks for it. Its template is a list of embeddable fields."""

    provider: Provider
    model: str
    dims: int
    version: str = "1"
    template: tuple[str, ...] = embeddable_fields()
    options: ModelOptions = field(default_factory=ModelOptions)


@dataclass(frozen=True)
class Coverage:
    """Items that a model should have embedded, and what became of them. `unrequested` ones wait for a reconcile."""

    wanted: int
    done: int
    waiting: int
    dead: int

    @property
    def lacking(self) -> int:
        return self.wanted - self.done

    @property
    def ratio(self) -> float:
        return self.done / self.wanted if self.wanted else 1.0

    @property
    def unrequested(self) -> int:
        return max(0, self.lacking - self.waiting - self.dead)


def list_models(connection: Connection) -> list[Model]:
    """All models, oldest first."""
    with connection.cursor(row_factory=kwargs_row(_model)) as cursor:
        return cursor.execute(_SQL["list_models"]).fetchall()


def active_model(connection: Connection) -> Model | None:
    """The model that searches use."""
    return next((model for model in list_models(connection) if model.state == "active"), None)


def working_models(connection: Connection) -> list[Model]:
    """The models whose vectors are kept true to the items, the active one first."""
    kept = [model for model in list_models(connection) if model.state in ("active", "filling")]
    return sorted(kept, key=lambda model: (model.state != "active", model.model_id))


def get_model(connection: Connection, model_id: int) -> Model:
    """The model of this number. Raises ModelUnknown."""
    return find_model(connection, str(model_id))


def find_model(connection: Connection, wanted: str) -> Model:
    """The model of a number, or of a name that only one has. Raises ModelUnknown."""
    known = list_models(connection)
    found = [one for one in known if wanted in (str(one.model_id), one.label, one.model)]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(str(one.model_id) for one in found)
        raise ModelUnknown(f"{wanted!r} is the name of several models", todo=f"Say which by its number: {numbers}.")
    raise ModelUnknown(f"no model {wanted!r} is known")


def add_model(connection: Connection, declared: Declared) -> tuple[Model, Change]:
    """Add a model in state `filling`; one that is there already is brought to these options, a retired one filled anew.

    Another template makes another version of it. Its requests are made by a reconcile behind this: a derivation that
    is under way does not know it yet. Raises UsageError.
    """
    _refuse_misfit(declared)
    with connection.transaction():
        connection.execute(_SQL["lock_models"])
        alike = [one for one in list_models(connection) if _is_like(one, declared)]
        known = next((one for one in alike if one.template == declared.template), None)
        options = Jsonb(declared.options.model_dump(exclude_defaults=True))
        if known is None:
            number, change = _insert(connection, declared, options, alike), "added"
        else:
            number, change = known.model_id, _change_of(known, declared)
            if change != "unchanged":
                connection.execute(_SQL["refill_model"], {"model_id": number, "options": options})
        ensure_vectors(connection)
    return get_model(connection, number), change


def coverage(connection: Connection, model: Model, branch_id: int | None = None) -> Coverage:
    """How much is embedded, of all branches or of one. Reads all live items: 0.3 s per million."""
    values = {"model_id": model.model_id, "branch_id": branch_id}
    row = connection.execute(_SQL["coverage"], values).fetchone()
    assert row is not None
    return Coverage(*row)


def activate_model(connection: Connection, model: Model, *, force: bool = False) -> None:
    """Switch searches to a model, in one transaction. Raises ModelIncomplete where items lack its vectors."""
    if model.state == "retired":
        raise UsageError(
            f"model {model.model_id} ({model.label}) is retired",
            todo="Add it again with `ingest model add`; that fills it first.",
        )
    if not force:
        _refuse_incomplete(connection, model)
    with connection.transaction():
        connection.execute(_SQL["lock_models"])
        connection.execute(_SQL["step_down"], {"model_id": model.model_id})
        failpoints.reach("model_stepped_down")
        switched = connection.execute(_SQL["activate_model"], {"model_id": model.model_id}).rowcount
        if not switched:
            raise ModelUnknown(f"model {model.model_id} was retired meanwhile")


def _refuse_incomplete(connection: Connection, model: Model) -> None:
    found = coverage(connection, model)
    if found.lacking:
        raise ModelIncomplete(
            f"{found.lacking:,} of {found.wanted:,} items have no vector of this model yet: {found.waiting:,} wait, "
            f"{found.dead:,} are dead, {found.unrequested:,} are not requested",
            where={"model": f"{model.model_id} ({model.label})"},
        )


def retire_model(connection: Connection, model: Model, *, keep_vectors: bool = False) -> int:
    """End a model: drop its requests and, unless they are to be kept, its vectors; say how many requests went.

    Raises UsageError for the active one.
    """
    values = {"model_id": model.model_id}
    with connection.transaction():
        connection.execute(_SQL["lock_models"])
        if not connection.execute(_SQL["retire_model"], values).rowcount:
            raise UsageError(
                f"model {model.model_id} ({model.label}) is active: searches use it",
                todo="Activate another one first: `ingest model list`.",
            )
        dropped = connection.execute(_SQL["drop_requests"], values).rowcount
    # Behind it: a worker that is just storing vectors waits for a request that is gone, then stores none.
    if not keep_vectors and has_vectors(connection, model):
        connection.execute(_SQL["drop_vectors"].format(partition=model.partition))
    return dropped


def has_vectors(connection: Connection, model: Model) -> bool:
    """Whether there is a table of this model's vectors: pgvector may be missing, here or when the model was added."""
    return fetch_value(connection, _SQL["vectors_table"], {"model_id": model.model_id}) is not None


def parse_options(given: dict[str, Any]) -> ModelOptions:
    """Options from a command line. Raises UsageError."""
    try:
        return ModelOptions.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_input=False)
        ]
        raise UsageError("; ".join(wrong), todo="See `ingest model add --help`.") from None


def known_provider(name: str) -> Provider:
    """The provider of this name. Raises UsageError."""
    for known in PROVIDERS:
        if known == name:
            return known
    raise UsageError(f"no provider {name!r}", todo=f"Providers are: {', '.join(PROVIDERS)}.")


def _refuse_misfit(declared: Declared) -> None:
    unknown = [field for field in declared.template if field not in embeddable_fields()]
    if unknown or not declared.template:
        raise UsageError(
            f"no field {', '.join(unknown) or 'is given'} to embed",
            todo=f"Those that can be: {', '.join(embeddable_fields())}.",
        )
    if len(set(declared.template)) < len(declared.template):
        raise UsageError("a field is named twice", todo="Name each once, in the order of the text.")
    known_provider(declared.provider)


def _is_like(one: Model, declared: Declared) -> bool:
    wanted = (declared.provider, declared.model, declared.version, declared.dims)
    return (one.provider, one.model, one.version, one.dims) == wanted


def _change_of(known: Model, declared: Declared) -> Change:
    if known.state == "retired":
        return "added"
    return "unchanged" if known.options == declared.options else "changed"


def _insert(connection: Connection, declared: Declared, options: Jsonb, alike: list[Model]) -> int:
    values = {
        **{name: getattr(declared, name) for name in ("provider", "model", "version", "dims")},
        "template": list(declared.template),
        "template_version": max((one.template_version for one in alike), default=0) + 1,
        "options": options,
    }
    return fetch_value(connection, _SQL["add_model"], values)


def _model(**row: Any) -> Model:
    known: dict[str, Any] = {
        **row,
        "template": tuple(row["template"]),
        "options": ModelOptions.model_validate(row["options"]),
    }
    return Model(**known)
