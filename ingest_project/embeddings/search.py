"""Semantic search: the active model embeds the text, and one statement finds the nearest items."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from ingest_project.embeddings.models import Model, active_model
from ingest_project.embeddings.providers import Provider, ProviderError
from ingest_project.embeddings.queue import require_vectors
from ingest_project.embeddings.vectors import vector_type
from ingest_project.embeddings.worker import usable_provider
from ingest_project.errors import ModelUnknown, ProviderUnusable
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "search.sql")
_ITERATIVE_SINCE = (0, 8)  # the first pgvector whose index scans go on until enough rows pass the filters
_EF_SEARCH = 40  # pgvector's default, and our minimum
_MAX_SWITCHES = 3  # of the active model during one search


@dataclass(frozen=True)
class Near:
    """Within `km` kilometres of a point in WGS 84 degrees."""

    lat: float
    lon: float
    km: float


@dataclass(frozen=True)
class Filters:
    """Conditions on the items that are searched."""

    branch_id: int | None = None
    country: str | None = None
    near: Near | None = None


@dataclass(frozen=True)
class Hit:
    """An item that was found. `distance` is the cosine distance: 0 is the same, 1 has nothing in common.

    `is_current`: the vector is that of the item's current text.
    """

    distance: float
    is_current: bool
    item_id: int
    external_id: str
    name: str
    category: str | None
    street: str | None
    house_number: str | None
    locality: str | None
    country_code: str | None
    latitude: float | None
    longitude: float | None
    source: str
    branch: str
    activation_id: int
    run_id: str | None
    written_at: datetime | None


def search(
    connection: Connection,
    text: str,
    filters: Filters | None = None,
    *,
    limit: int = 10,
    provider: Provider | None = None,
) -> tuple[Model, list[Hit]]:
    """The model that answered, and the items nearest to a text, nearest first.

    Where the active model is switched during the search, it starts again. No transaction is open while the provider
    is called. Raises VectorsMissing, ModelUnknown where no model is active, ProviderUnusable.
    """
    require_vectors(connection)
    for _ in range(_MAX_SWITCHES):
        model = _require_active_model(connection)
        vector = _vector(provider or usable_provider(model), text)
        hits = nearest(connection, model, vector, filters or Filters(), limit)
        if hits is not None:
            return model, hits
    raise ModelUnknown("models were switched again and again meanwhile", todo="Run the same command again.")


def nearest(connection: Connection, model: Model, vector: str, filters: Filters, limit: int) -> list[Hit] | None:
    """The items nearest to a vector of the model, or None where another model is active by now."""
    near = filters.near
    values = {
        "query": vector,
        "branch_id": filters.branch_id,
        "country": filters.country,
        "limit": limit,
        **({"km": near.km, "lat": near.lat, "lon": near.lon} if near else {"km": None, "lat": 0.0, "lon": 0.0}),
    }
    with connection.transaction(), connection.cursor(row_factory=class_row(Hit)) as cursor:
        if _scans_iteratively(connection):
            connection.execute(_SQL["search_settings"], {"ef_search": min(1000, max(_EF_SEARCH, limit))})
        hits = cursor.execute(nearest_items(model), values).fetchall()
        # Checked after the search: if the model was retired meanwhile, its vectors are gone.
        return hits if fetch_value(connection, _SQL["active_model_id"]) == model.model_id else None


def nearest_items(model: Model) -> sql.Composed:
    """The statement for a model: vectors are compared in its dimensions and in the type of its index."""
    return _SQL["nearest_items"].format(
        kind=sql.Identifier(vector_type(model)), dims=sql.Literal(model.dims), model_id=sql.Literal(model.model_id)
    )


def _require_active_model(connection: Connection) -> Model:
    model = active_model(connection)
    if model is None:
        raise ModelUnknown("no model is active", todo="`ingest model list` shows those there are; activate one.")
    return model


def _vector(provider: Provider, text: str) -> str:
    try:
        numbers = provider.embed([text])[0]
    except ProviderError as error:
        raise ProviderUnusable(
            f"the text to search for was not embedded: {error}",
            todo="Run the same command again, or mend the provider.",
        ) from error
    return "[" + ",".join(map(str, numbers.tolist())) + "]"


def _scans_iteratively(connection: Connection) -> bool:
    version: str | None = fetch_value(connection, _SQL["pgvector_version"])
    return version is not None and tuple(int(part) for part in version.split(".")[:2]) >= _ITERATIVE_SINCE
