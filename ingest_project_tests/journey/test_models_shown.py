"""`ingest model`, `ingest search` and `ingest verify`, as a person meets them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ingest_project.embeddings.models import ModelOptions, find_model, retire_model
from ingest_project.embeddings.worker import run_worker
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project_tests.embeddings.modelling import embed, empty
from ingest_project_tests.journey.conftest import FIRST, Ran, write_csv, write_spec

pytestmark = pytest.mark.usefixtures("pgvector")

Command = Callable[..., Ran]


@pytest.fixture
def places(command: Command, database: str, tmp_path: Path) -> Iterator[str]:
    """A branch that is ingested and embedded, in a database that holds nothing else."""
    with session() as connection:
        empty(connection)
    name = f"places {uuid4().hex[:8]}"
    write_csv(tmp_path / "data.csv", FIRST)
    command("branch", "apply", write_spec(tmp_path / "b.yaml", name=name, location=str(tmp_path / "data.csv")))
    assert command("run", name).code == 0
    run_worker(database, model_id=1)
    yield name
    with session() as connection:
        empty(connection)
    settings.cache_clear()


def test_a_model_is_added_filled_switched_to_and_the_old_one_retired(command: Command, places: str) -> None:
    before = command("model", "list")
    assert "9 of 9 items embedded (100.0 %), 0 waiting, 0 dead" in before.out
    made = command("model", "add", "openai/small", "--dims", 8, "--key-env", "SOME_KEY", "--fields", "name,category")
    assert (made.code, "added: 9 requests made" in made.out) == (0, True)
    again = command("model", "add", "openai/small", "--dims", 8, "--key-env", "SOME_KEY", "--fields", "name,category")
    assert "unchanged: 0 requests made" in again.out
    number = str(made.out.split()[1])
    early = command("model", "activate", number)
    assert early.code == 4
    assert "9 of 9 items have no vector of this model yet: 9 wait, 0 are dead" in early.err
    assert "--force" in early.err
    with session() as connection:
        embed(connection, find_model(connection, number))
    assert f"next: ingest model activate {number}" in command("model", "list").out
    switched = command("model", "activate", "openai/small")
    assert "answers searches from now on" in switched.out
    assert "next: ingest model retire 1" in switched.out
    refused = command("model", "retire", number)
    assert (refused.code, "is active" in refused.err) == (2, True)
    back = command("model", "activate", "1", "--json").json
    assert back == {"model": 1, "before": int(number)}
    gone = command("model", "retire", number, "--json").json
    assert gone == {"model": int(number), "requests_dropped": 9, "vectors_kept": False}
    listed = {one["model"]: one for one in command("model", "list", "--json").json}
    assert (listed[1]["state"], listed[1]["coverage"]) == ("active", 1.0)
    assert (listed[int(number)]["state"], listed[int(number)]["options"]) == ("retired", {"key_env": "SOME_KEY"})


def test_every_option_of_a_model_can_be_given_on_the_command_line(command: Command, places: str) -> None:
    given = {
        "base_url": "http://localhost:1/v1", "base_url_env": "SOME_URL", "key_env": "SOME_KEY", "folder": "/some/where",
        "usd_per_million_tokens": 0.5, "token_limit": 512, "half_precision": True,
    }  # fmt: skip
    assert set(given) == set(ModelOptions.model_fields)
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)][:-1]
    made = command("model", "add", "openai/whole", "--dims", 8, *words, "--json")
    assert made.code == 0, made.err
    with session() as connection:
        model = find_model(connection, str(made.json["model"]))
        assert model.options == ModelOptions(**given)
        retire_model(connection, model)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "small", "--dims", "8"), "names no model"),
        (("add", "nobody/small", "--dims", "8"), "no provider 'nobody'"),
        (("add", "openai/small", "--dims", "8", "--fields", "phone"), "no field phone"),
        (("add", "openai/small", "--dims", "8", "--key-env", "sk-1"), "key_env"),
        (("activate", "99999"), "no model '99999'"),
    ],
)
def test_what_cannot_be_done_with_a_model_is_said(command: Command, words: tuple[str, ...], said: str) -> None:
    ran = command("model", *words)
    assert (ran.code, said in ran.err, "do:" in ran.err) == (2, True, True)


def test_an_index_is_built_and_taken_away(command: Command, places: str) -> None:
    assert command("model", "index", "1", "--json").json == {"model": 1, "indexed": True, "vectors": 9}
    assert ", indexed" in command("model", "list").out
    assert "read all of its 9 vectors" in command("model", "index", "1", "--drop").out


def test_a_search_tells_what_and_where(command: Command, places: str) -> None:
    found = command("search", "alpha berlin", "--limit", 2)
    assert found.code == 0
    first = found.out.splitlines()[:2]
    assert "Alpha" in first[0]
    assert f"Berlin, DE   {places} 1, activation" in first[1]
    assert len(found.out.splitlines()) == 4
    (line,) = command(
        "search", "alpha", "--branch", places, "--near", "52.5,13.4", "--km", 20, "--json"
    ).out.splitlines()
    assert '"external_id": "1"' in line
    none = command("search", "alpha", "--country", "xk")
    assert (none.code, none.out, "nothing found by model 1" in none.err) == (0, "", True)
    assert "the same without --branch, --country, --near" in none.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("",), "no text"),
        ((" \n",), "no text"),
        (("x", "--country", "Germany"), "--country DE"),
        (("x", "--country", "ß"), "DE"),
    ],
)
def test_a_search_for_nothing_or_in_no_country_is_refused(
    command: Command, database: str, words: tuple[str, ...], told: str
) -> None:
    found = command("search", *words)
    assert (found.code, found.out, told in found.err) == (2, "", True)


def test_a_search_takes_any_letters(command: Command, places: str) -> None:
    assert command("search", "музей 博物館 🏛 \u200b", "--limit", 1).code == 0


@pytest.mark.parametrize("words", [("--near", "here"), ("--near", "91,0"), ("--near", "1,2,3"), ("--km", "3")])
def test_a_place_that_is_none_is_refused(command: Command, database: str, words: tuple[str, ...]) -> None:
    assert command("search", "x", *words).code == 2


def test_verify_finds_a_change_by_hand_says_what_to_do_and_mends_it(command: Command, places: str) -> None:
    sound = command("verify")
    assert (sound.code, sound.out.splitlines()[-1]) == (0, "nothing to do")
    with session() as connection:
        connection.execute("update core.items set name = 'by hand' where external_id = '2'")
        connection.execute("delete from core.embedding_requests where item_id in (select min(item_id) from core.items)")
    found = command("verify", places)
    assert found.code == 1
    assert "1 rows of core.items were changed by hand" in found.out
    assert f"{places} 2" in found.out
    assert "1 items have no request" in found.out
    assert f"next: ingest verify '{places}' --repair" in found.out
    mended = command("verify", places, "--repair", "--json")
    assert (mended.code, mended.json["altered"], mended.json["mended"]) == (0, 1, 1)
    assert mended.json["examples"] == [{"branch": places, "external_id": "2"}]
    assert command("verify").out.splitlines()[-1] == "nothing to do"
    assert "1 updated" in command("run", places).out
