"""Models beside each other: one is filled while another one answers, and they change places in one transaction."""

import threading

import pytest

from ingest_project import failpoints
from ingest_project.embeddings.models import (
    Coverage,
    activate_model,
    active_model,
    add_model,
    coverage,
    find_model,
    get_model,
    has_vectors,
    list_models,
    parse_options,
    retire_model,
    working_models,
)
from ingest_project.embeddings.reconcile import Differences, reconcile
from ingest_project.errors import ModelIncomplete, ModelUnknown, UsageError
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres.connection import Connection, connect
from ingest_project_tests.embeddings.asking import derived
from ingest_project_tests.embeddings.modelling import added, alone, assert_true, declared, embed, shared
from ingest_project_tests.upsert.making import Source, item

pytestmark = pytest.mark.usefixtures("pgvector")

__all__ = ["alone", "shared"]


def test_there_is_a_model_from_the_start(alone: Source) -> None:
    (first,) = list_models(alone.connection)
    assert (first.label, first.state, first.dims) == ("builtin/lexical-hashing", "active", 384)
    assert active_model(alone.connection) == first
    assert has_vectors(alone.connection, first)


def test_a_new_model_is_filled_beside_the_active_one(alone: Source) -> None:
    connection = alone.connection
    derived(alone.line(), [item(at) for at in range(3)])
    model = added(connection, "better")
    assert (model.state, model.template_version, has_vectors(connection, model)) == ("filling", 1, True)
    assert [one.label for one in working_models(connection)] == ["builtin/lexical-hashing", "openai/better"]
    assert coverage(connection, model) == Coverage(wanted=3, done=0, waiting=3, dead=0)
    derived(alone.line(1), [item("later")])
    assert coverage(connection, model).waiting == 4, "derivations know it by now"
    embed(connection, model)
    assert (coverage(connection, model).done, coverage(connection, model).ratio) == (4, 1.0)
    assert_true(connection)


def test_adding_it_again_changes_nothing_but_its_options(alone: Source) -> None:
    connection = alone.connection
    model, change = add_model(connection, declared())
    assert change == "added"
    assert add_model(connection, declared()) == (model, "unchanged")
    cheaper, change = add_model(connection, declared(options={"usd_per_million_tokens": 0.02}))
    assert (cheaper.model_id, cheaper.options.usd_per_million_tokens, cheaper.state, change) == (
        model.model_id,
        0.02,
        "filling",
        "changed",
    )


def test_another_template_is_another_version_of_the_model(alone: Source) -> None:
    connection = alone.connection
    one, _ = add_model(connection, declared())
    other, _ = add_model(connection, declared(template=("name", "category")))
    assert (one.template_version, other.template_version) == (1, 2)
    assert other.template == ("name", "category")
    again, change = add_model(connection, declared(template=("name", "category")))
    assert (again, change) == (other, "unchanged")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"template": ("name", "phone")}, "no field phone"),
        ({"template": ()}, "no field is given"),
        ({"template": ("name", "name")}, "named twice"),
        ({"provider": "nobody"}, "no provider 'nobody'"),
    ],
)
def test_what_cannot_be_is_refused(alone: Source, given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        add_model(alone.connection, declared(**given))
    assert len(list_models(alone.connection)) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "https://user:secret@host/v1"},
        {"base_url": "https://host/v1?api_key=secret"},
        {"base_url": "ftp://host"},
        {"key_env": "sk-secret"},
        {"usd_per_million_tokens": -1},
        {"token_limit": 0},
    ],
)
def test_options_hold_no_secret_and_no_nonsense(given: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(given)
    assert next(iter(given)) in str(caught.value)
    assert "Value error" not in str(caught.value), "words of pydantic's own"
    assert "secret" not in str(caught.value)


def test_a_model_is_found_by_number_or_name_and_told_apart(alone: Source) -> None:
    connection = alone.connection
    model, _ = add_model(connection, declared("better"))
    for wanted in (str(model.model_id), "openai/better", "better"):
        assert find_model(connection, wanted) == model
    add_model(connection, declared("better", version="2"))
    with pytest.raises(ModelUnknown, match="several models"):
        find_model(connection, "better")
    with pytest.raises(ModelUnknown, match="'worse'"):
        find_model(connection, "worse")


def test_activation_waits_for_full_coverage_and_says_how_many_lack(alone: Source) -> None:
    connection = alone.connection
    derived(alone.line(), [item(at) for at in range(3)])
    model = added(connection)
    connection.execute(
        """update core.embedding_requests set status = 'x', error_class = 'poison' where (model_id, item_id) in
           (select model_id, min(item_id) from core.embedding_requests where model_id = %s group by 1)""",
        (model.model_id,),
    )
    with pytest.raises(ModelIncomplete, match="3 of 3 items have no vector of this model yet: 2 wait, 1 are dead"):
        activate_model(connection, model)
    embed(connection, model)
    with pytest.raises(ModelIncomplete, match="1 of 3 items"):
        activate_model(connection, model)
    activate_model(connection, model, force=True)
    active = active_model(connection)
    assert active is not None
    assert active.model_id == model.model_id


def test_the_model_that_stepped_down_is_kept_true_until_it_is_retired(alone: Source) -> None:
    connection = alone.connection
    line = alone.line()
    derived(line, [item(1)])
    first, new = working_models(connection)[0], added(connection)
    for model in (first, new):
        embed(connection, model)
    activate_model(connection, new)
    derived(line, [item(1, "Renamed", at=1)])
    assert coverage(connection, first).waiting == 1
    embed(connection, first)
    activate_model(connection, first)
    assert [(one.model_id, one.state) for one in list_models(connection)] == [
        (first.model_id, "active"),
        (new.model_id, "filling"),
    ]


def test_readers_see_one_active_model_at_every_moment(alone: Source, disarmed: None) -> None:
    connection = alone.connection
    derived(alone.line(), [item(1)])
    models = [working_models(connection)[0], added(connection)]
    seen: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        with connect(url_of(connection)) as reader:
            while not ended.is_set():
                row = reader.execute("select count(*) from core.embedding_models where state = 'active'").fetchone()
                seen.add(row[0] if row else -1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    for at in range(20):
        activate_model(connection, models[(at + 1) % 2], force=True)
    failpoints.arm("model_stepped_down!")
    with pytest.raises(FailpointReached):
        activate_model(connection, models[1], force=True)
    ended.set()
    thread.join(30)
    assert seen == {1}
    active = active_model(connection)
    assert active is not None
    assert active.model_id == models[0].model_id, "what was interrupted did not happen"


def url_of(connection: Connection) -> str:
    info = connection.info
    return f"postgresql://{info.user}@/{info.dbname}?host={info.host}&port={info.port}"


def test_the_active_model_cannot_be_retired(alone: Source) -> None:
    with pytest.raises(UsageError, match="is active"):
        retire_model(alone.connection, list_models(alone.connection)[0])


def test_a_retired_model_leaves_nothing(alone: Source) -> None:
    connection = alone.connection
    derived(alone.line(), [item(at) for at in range(3)])
    model = added(connection)
    embed(connection, model)
    assert retire_model(connection, model) == 3
    assert get_model(connection, model.model_id).state == "retired"
    assert vectors(connection, model.model_id) == 0
    assert reconcile(connection) == Differences()
    with pytest.raises(UsageError, match="retired"):
        activate_model(connection, get_model(connection, model.model_id), force=True)
    assert_true(connection)


def test_kept_vectors_are_used_again_where_texts_are_the_same(alone: Source) -> None:
    connection = alone.connection
    line = alone.line()
    derived(line, [item(at) for at in range(3)])
    model = added(connection)
    embed(connection, model)
    retire_model(connection, model, keep_vectors=True)
    assert vectors(connection, model.model_id) == 3
    derived(line, [item(0, "Renamed", at=1)])
    again = added(connection)
    assert again.model_id == model.model_id
    assert coverage(connection, again) == Coverage(wanted=3, done=2, waiting=1, dead=0)


def test_requests_that_were_derived_while_it_was_retired_go_with_the_next_reconcile(alone: Source) -> None:
    connection = alone.connection
    derived(alone.line(), [item(1)])
    model = added(connection)
    retire_model(connection, model)
    connection.execute(
        "insert into core.embedding_requests (model_id, item_id, branch_id, content_hash) "
        "select %s, item_id, branch_id, content_hash from core.embedding_requests",
        (model.model_id,),
    )
    assert reconcile(connection) == Differences(unwanted=1)
    assert_true(connection)


def vectors(connection: Connection, model_id: int) -> int:
    row = connection.execute("select count(*) from core.item_embeddings where model_id = %s", (model_id,)).fetchone()
    assert row is not None
    return row[0]
