"""Items near a text: the right ones, by one model, filtered in Postgres, with where they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ingest_project.embeddings import search as searching
from ingest_project.embeddings.models import Model, activate_model, retire_model, working_models
from ingest_project.embeddings.providers import Transient, Vectors
from ingest_project.embeddings.search import Filters, Hit, Near, nearest, nearest_items, search
from ingest_project.embeddings.vectors import (
    can_be_indexed,
    drop_index,
    index_if_worthwhile,
    index_vectors,
    is_indexed,
)
from ingest_project.embeddings.worker import run_worker
from ingest_project.errors import ModelUnknown, ProviderUnusable, UsageError
from ingest_project_tests.embeddings.asking import derived
from ingest_project_tests.embeddings.modelling import added, alone, embed, shared
from ingest_project_tests.embeddings.test_models import url_of
from ingest_project_tests.upsert.making import Line, Source, item
from ingest_project_tests.upsert.test_plans_explain import nodes

pytestmark = pytest.mark.usefixtures("pgvector")

__all__ = ["alone", "shared"]
PLACES = [
    item("kiel", "Café am Hafen", category="cafe", country_code="DE", latitude=54.32, longitude=10.13),
    item("paris", "Café du Port", category="cafe", country_code="FR", latitude=48.85, longitude=2.35),
    item("bank", "Kreissparkasse", category="bank", country_code="DE", latitude=54.33, longitude=10.14),
    item("fiji", "Harbour Office", category="port", country_code="FJ", latitude=-17.7, longitude=179.99),
    item("nowhere", "Café ohne Ort", category="cafe"),
]


def filled(source: Source) -> Line:
    """A branch with places, embedded by the built-in model."""
    line = source.line()
    derived(line, PLACES)
    model = working_models(source.connection)[0]
    outcome = run_worker(url_of(source.connection), model_id=model.model_id)
    assert outcome.done == len(PLACES)
    return line


def keys(found: tuple[Model, list[Hit]]) -> list[str]:
    return [hit.external_id for hit in found[1]]


def test_the_nearest_come_first_with_what_they_say_and_where_they_come_from(alone: Source) -> None:
    line = filled(alone)
    model, hits = search(alone.connection, "Café am Hafen", limit=3)
    assert (model.label, len(hits)) == ("builtin/lexical-hashing", 3)
    first = hits[0]
    assert (first.external_id, first.name, first.country_code) == ("kiel", "Café am Hafen", "DE")
    assert (first.branch, first.source, first.is_current) == (line.name, alone.name, True)
    assert first.activation_id == alone.items()["kiel"]["activation_id"]
    assert first.written_at is not None
    assert 0 <= first.distance < hits[1].distance <= hits[2].distance <= 2


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (Filters(country="DE"), {"kiel", "bank"}),
        (Filters(near=Near(54.32, 10.13, 5)), {"kiel", "bank"}),
        (Filters(near=Near(54.32, 10.13, 0.5)), {"kiel"}),
        (Filters(near=Near(-17.7, -179.99, 5)), {"fiji"}),
        (Filters(country="DE", near=Near(48.85, 2.35, 100)), set[str]()),
        (Filters(branch_id=-1), set[str]()),
    ],
)
def test_filters_hold_whatever_is_near_in_meaning(alone: Source, filters: Filters, wanted: set[str]) -> None:
    filled(alone)
    assert set(keys(search(alone.connection, "café", filters, limit=10))) == wanted


def test_a_branch_is_searched_alone(alone: Source) -> None:
    filled(alone)
    other = alone.line(1)
    derived(other, [item("theirs", "Café am Hafen")])
    run_worker(url_of(alone.connection), model_id=1)
    branch_id = alone.items()["theirs"]["branch_id"]
    assert keys(search(alone.connection, "café", Filters(branch_id=branch_id))) == ["theirs"]


def test_deleted_items_are_not_found_and_changed_ones_say_that_they_changed(alone: Source) -> None:
    line = filled(alone)
    alone.connection.execute("update core.items set deleted_at = now() where external_id = 'paris'")
    derived(line, [item("kiel", "Renamed", at=1)])
    _, hits = search(alone.connection, "Café am Hafen")
    found = {hit.external_id: hit for hit in hits}
    assert "paris" not in found
    assert (found["kiel"].name, found["kiel"].is_current, found["bank"].is_current) == ("Renamed", False, True)


@dataclass
class Fixed:
    """A provider that says what it is told to, and does something meanwhile."""

    vector: Sequence[float]
    meanwhile: Callable[[], Any] = lambda: None
    name: str = "openai"
    model: str = "test"
    dims: int = 8
    tokens: int = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.meanwhile()
        return np.array([self.vector] * len(texts), np.float32)


def two_models(source: Source) -> tuple[Model, Model]:
    """The first model, and one of eight dimensions that is active; both filled."""
    filled(source)
    first, new = working_models(source.connection)[0], added(source.connection)
    embed(source.connection, new)
    activate_model(source.connection, new)
    return first, new


def test_a_search_is_answered_by_one_model_whatever_is_switched_meanwhile(
    alone: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, new = two_models(alone)
    asked: list[str] = []

    def provider(model: Model) -> Any:
        asked.append(model.label)

        def switch() -> None:
            if len(asked) == 1:
                activate_model(alone.connection, first)
                retire_model(alone.connection, new)

        lexical = _provider(first)
        return lexical if model.model_id == first.model_id else Fixed([1.0] * 8, switch)

    _provider = searching.usable_provider
    monkeypatch.setattr(searching, "usable_provider", provider)
    model, hits = search(alone.connection, "Café am Hafen", limit=1)
    assert asked == [new.label, first.label], "the first answer was of a model that is no longer active"
    assert (model.model_id, hits[0].external_id) == (first.model_id, "kiel")


def test_a_vector_of_another_model_finds_nothing(alone: Source) -> None:
    first, new = two_models(alone)
    assert nearest(alone.connection, first, str([1.0] * 384), Filters(), 5) is None
    found = nearest(alone.connection, new, str([1.0] * 8), Filters(), 5)
    assert found is not None
    assert len(found) == 5


def test_what_stands_in_the_way_is_said(alone: Source) -> None:
    def fail() -> None:
        raise Transient("no answer")

    with pytest.raises(ProviderUnusable, match="no answer"):
        search(alone.connection, "x", provider=Fixed([1.0] * 384, fail))
    alone.connection.execute("update core.embedding_models set state = 'retired', retired_at = now()")
    with pytest.raises(ModelUnknown, match="no model is active"):
        search(alone.connection, "x")


MANY = 3_000


def many(source: Source, **options: Any) -> Model:
    """A model of three thousand vectors, active; one item in a hundred is in Kosovo."""
    rows = [item(at, f"Item {at}", country_code="XK" if at % 100 == 0 else "DE") for at in range(MANY)]
    derived(source.line(), rows)
    model = added(source.connection, options=options)
    embed(source.connection, model)
    activate_model(source.connection, model)
    return model


@pytest.mark.parametrize("half", [False, True], ids=["vector", "halfvec"])
def test_the_index_is_used_and_goes_on_behind_a_filter(alone: Source, half: bool) -> None:
    connection = alone.connection
    model = many(alone, half_precision=half)
    exact = nearest(connection, model, "[1,0,0,0,0,0,0,0]", Filters(country="XK"), 20)
    assert not is_indexed(connection, model)
    assert index_vectors(connection, model) == MANY
    assert is_indexed(connection, model)
    assert index_vectors(connection, model) == MANY, "a second time nothing is built"
    connection.execute("vacuum (analyze) core.item_embeddings, core.items")
    values = {"query": "[1,0,0,0,0,0,0,0]", "branch_id": None, "country": None, "limit": 5, "km": None}
    with connection.transaction():
        connection.execute("set local enable_seqscan = off")
        plan = nodes(connection, nearest_items(model), {**values, "lat": 0.0, "lon": 0.0})
        assert f"item_embeddings_{model.model_id}_hnsw" in {node.get("Index Name") for node in plan}
    connection.execute("set enable_seqscan = off")
    connection.execute("set enable_sort = off")
    found = nearest(connection, model, "[1,0,0,0,0,0,0,0]", Filters(country="XK"), 20)
    connection.execute("reset all")
    assert exact is not None
    assert found is not None
    assert (len(found), {hit.country_code for hit in found}) == (20, {"XK"})
    assert len({hit.external_id for hit in found} & {hit.external_id for hit in exact}) >= 16, (
        "nearly all of the nearest"
    )
    drop_index(connection, model)
    assert not is_indexed(connection, model)


def test_a_model_is_indexed_by_itself_where_it_pays(alone: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = alone.connection
    model = many(alone)
    assert not index_if_worthwhile(connection, model), "a few thousand are read as quickly"
    monkeypatch.setattr("ingest_project.embeddings.vectors.MIN_VECTORS_FOR_INDEX", 1_000)
    connection.execute(
        "update core.embedding_requests set status = 'p', completed_at = null where item_id in "
        "(select min(item_id) from core.items)"
    )
    assert not index_if_worthwhile(connection, model), "not while it is being filled"
    embed(connection, model)
    assert index_if_worthwhile(connection, model)
    assert not index_if_worthwhile(connection, model), "once"


def test_an_index_that_was_left_half_made_is_made_again(alone: Source) -> None:
    connection = alone.connection
    model = many(alone)
    index_vectors(connection, model)
    connection.execute(
        "update pg_index set indisvalid = false where indexrelid = %s::regclass",
        (f"core.item_embeddings_{model.model_id}_hnsw",),
    )
    assert not is_indexed(connection, model)
    index_vectors(connection, model)
    assert is_indexed(connection, model)


def test_what_no_index_takes_is_said(alone: Source) -> None:
    wide = added(alone.connection, "wide", dims=3000)
    half = added(alone.connection, "half", dims=3000, options={"half_precision": True})
    assert (can_be_indexed(wide), can_be_indexed(half)) == (False, True)
    with pytest.raises(UsageError, match="2000 dimensions of vector, model"):
        index_vectors(alone.connection, wide)
    assert not index_if_worthwhile(alone.connection, wide)
