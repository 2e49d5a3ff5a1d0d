"""Embedding models: added, filled beside the active one, activated, retired.

One model is active: searches use it. Models in state `filling` get requests and vectors as well, so that activating one
only changes its state. The model that was active goes on being filled until it is retired, so that one can switch back
at no cost.
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
_IDENTITY = ("provider", "model", "version", "dims")  # with the template version


def _checked_url(url: str) -> str:
    if "@" in url or "?" in url or not url.startswith(("http://", "https://")):
        raise ValueError("is http(s)://host/path, without credentials: name the key's variable instead")
    return url


Url = Annotated[str, AfterValidator(_checked_url)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ModelOptions(BaseModel):
    """How a model is reached, and what it costs. Readable by everybody in Postgres, so without secrets."""

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
    endpoint: str  # where its texts go; models of the same endpoint share its pauses
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.provider}/{self.model}"

    def price_of(self, tokens: int) -> float | None:
        """US dollars, where the model declares a price."""
        price = self.options.usd_per_million_tokens
        return None if price is None else price * tokens / 1e6

    @property
    def partition(self) -> sql.Identifier:
        return sql.Identifier("core", f"item_embeddings_{self.model_id}")


@dataclass(frozen=True)
class ModelSpec:
    """A model to be added. Its template is a list of embeddable fields."""

    provider: Provider
    model: str
    dims: int
    version: str = "1"
    template: tuple[str, ...] = embeddable_fields()
    options: ModelOptions = field(default_factory=ModelOptions)


@dataclass(frozen=True)
class Coverage:
    """The items that a model should embed, by state. `unrequested` ones wait for a reconcile."""

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
    """The models whose vectors are kept up to date, the active one first."""
    working = [model for model in list_models(connection) if model.state in ("active", "filling")]
    return sorted(working, key=lambda model: (model.state != "active", model.model_id))


def get_model(connection: Connection, model_id: int) -> Model:
    """The model with this id. Raises ModelUnknown."""
    return find_model(connection, str(model_id))


def find_model(connection: Connection, wanted: str) -> Model:
    """The model with this id, or with this name if only one has it. Raises ModelUnknown."""
    matches = [model for model in list_models(connection) if wanted in (str(model.model_id), model.label, model.model)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        numbers = ", ".join(str(model.model_id) for model in matches)
        raise ModelUnknown(f"{wanted!r} is the name of several models", todo=f"Say which by its number: {numbers}.")
    raise ModelUnknown(f"no model {wanted!r} is known")


def add_model(connection: Connection, spec: ModelSpec) -> tuple[Model, Change]:
    """Add a model in state `filling`. An existing one gets these options; a retired one is filled again.

    Another template makes a new template version of the same model. The caller must reconcile afterwards: a derivation
    that is under way does not know the model yet. Raises UsageError.
    """
    _refuse_invalid(spec)
    with connection.transaction():
        connection.execute(_SQL["lock_models"])
        versions = [model for model in list_models(connection) if _has_identity_of(model, spec)]
        existing = next((model for model in versions if model.template == spec.template), None)
        options = Jsonb(spec.options.model_dump(exclude_defaults=True))
        if existing is None:
            model_id, change = _insert(connection, spec, options, versions), "added"
        else:
            model_id, change = existing.model_id, _change_of(existing, spec)
            if change != "unchanged":
                connection.execute(_SQL["refill_model"], {"model_id": model_id, "options": options})
        ensure_vectors(connection)
    return get_model(connection, model_id), change


def coverage(connection: Connection, model: Model, branch_id: int | None = None) -> Coverage:
    """How much of all branches, or of one, is embedded. Reads all live items: 0.3 s per million."""
    values = {"model_id": model.model_id, "branch_id": branch_id}
    row = connection.execute(_SQL["coverage"], values).fetchone()
    assert row is not None, "an aggregate"
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
    covered = coverage(connection, model)
    if covered.lacking:
        raise ModelIncomplete(
            f"{covered.lacking:,} of {covered.wanted:,} items have no vector of this model yet: "
            f"{covered.waiting:,} wait, {covered.dead:,} are dead, {covered.unrequested:,} are not requested",
            where={"model": f"{model.model_id} ({model.label})"},
        )


def retire_model(connection: Connection, model: Model, *, keep_vectors: bool = False) -> int:
    """Retire a model: drop its requests and, unless `keep_vectors`, its vectors. Returns how many requests it had.

    Raises UsageError for the active model.
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
    # After the requests: a worker that is about to store vectors waits for that, finds no request and stores none.
    if not keep_vectors and has_vectors(connection, model):
        connection.execute(_SQL["drop_vectors"].format(partition=model.partition))
    return dropped


def has_vectors(connection: Connection, model: Model) -> bool:
    """Whether this model has a table of vectors: pgvector may be missing, or may have been when the model was added."""
    return fetch_value(connection, _SQL["vectors_table"], {"model_id": model.model_id}) is not None


def parse_options(given: dict[str, Any]) -> ModelOptions:
    """Options from a command line. Raises UsageError."""
    try:
        return ModelOptions.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False)
        ]
        raise UsageError("; ".join(problems), todo="See `ingest model add --help`.") from None


def parse_provider(name: str) -> Provider:
    """The provider of this name. Raises UsageError."""
    for provider in PROVIDERS:
        if provider == name:
            return provider
    raise UsageError(f"no provider {name!r}", todo=f"Providers are: {', '.join(PROVIDERS)}.")


def _refuse_invalid(spec: ModelSpec) -> None:
    unknown = [field for field in spec.template if field not in embeddable_fields()]
    if unknown or not spec.template:
        raise UsageError(
            f"no field {', '.join(unknown) or 'is given'} to embed",
            todo=f"Those that can be: {', '.join(embeddable_fields())}.",
        )
    if len(set(spec.template)) < len(spec.template):
        raise UsageError("a field is named twice", todo="Name each once, in the order of the text.")
    parse_provider(spec.provider)


def _has_identity_of(model: Model, spec: ModelSpec) -> bool:
    """Whether they are the same but for template and options."""
    return all(getattr(model, name) == getattr(spec, name) for name in _IDENTITY)


def _change_of(model: Model, spec: ModelSpec) -> Change:
    if model.state == "retired":
        return "added"
    return "unchanged" if model.options == spec.options else "changed"


def _insert(connection: Connection, spec: ModelSpec, options: Jsonb, versions: list[Model]) -> int:
    values = {
        **{name: getattr(spec, name) for name in _IDENTITY},
        "template": list(spec.template),
        "template_version": max((model.template_version for model in versions), default=0) + 1,
        "options": options,
    }
    return fetch_value(connection, _SQL["add_model"], values)


def _model(**row: Any) -> Model:
    row["template"], row["options"] = tuple(row["template"]), ModelOptions.model_validate(row["options"])
    return Model(**row)
