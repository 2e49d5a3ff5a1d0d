"""`ingest embed`: what waits, what it came to, what is dead and why, and another try."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dagster import AssetKey

from ingest_project.cli.instance import dagster_instance
from ingest_project.embeddings.models import ModelOptions, ModelSpec, add_model, retire_model
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.postgres.connection import session
from ingest_project.torture.chain import ingest
from ingest_project_tests.embeddings.serving import Endpoint, Reply, answer_to, ok, refusal, serving
from ingest_project_tests.embeddings.working import DIMS
from ingest_project_tests.journey.conftest import FIRST, Ran, write_csv, write_spec

pytestmark = pytest.mark.usefixtures("pgvector")

Command = Callable[..., Ran]


@pytest.fixture
def name(command: Command, tmp_path: Path) -> str:
    """A branch of nine items that was ingested, and not embedded."""
    found = f"embedded-{uuid4().hex[:8]}"
    file = write_csv(tmp_path / "places.csv", FIRST)
    command("branch", "apply", write_spec(tmp_path / "places.yaml", name=found, location=str(file)))
    ingest(found)
    return found


@pytest.fixture
def endpoint(name: str) -> Iterator[Endpoint]:
    """A second model, at an endpoint of the test's own, that is filled beside the first."""
    with serving() as found, session() as connection:
        declared = ModelSpec(
            "openai", f"scripted-{name}", DIMS, options=ModelOptions(base_url=found.url, usd_per_million_tokens=1000)
        )
        model, _ = add_model(connection, declared)
        reconcile(connection, model=model)
        yield found
        connection.execute("update core.embedding_models set state = 'retired', retired_at = now() where model_id = %s",
                           (model.model_id,))  # fmt: skip


def test_run_embeds_what_waits_and_status_says_so(command: Command, name: str) -> None:
    before = command("embed", "status", name)
    assert "0 of 9 items embedded, 0.0%" in before.out
    assert f"next: ingest embed run {name}" in before.out
    ran = command("embed", "run", name, "--limit", "5")
    assert ran.code == 0, ran.err
    assert "9 items wait, 5 of them now" in ran.err
    assert "5 embedded" in ran.out
    ran = command("embed", "run", name, "--workers", "2")
    assert "4 embedded" in ran.out
    assert "item_embeddings: 4 of 4" in ran.err
    assert "9 of 9 items embedded, 100.0%" in command("embed", "status", name).out
    (told,) = command("embed", "status", name, "--json").json
    assert [told[key] for key in ("branch", "items", "done", "pending", "dead", "coverage")] == [name, 9, 9, 0, {}, 1.0]
    (ran_again,) = command("embed", "run", name, "--json").json
    assert (ran_again["done"], ran_again["dead"], ran_again["waiting"]) == (0, 0, None)
    assert command("embed", "retry", name, "--json").json == {"retried": 0}


def test_a_plan_says_what_would_be_embedded_and_at_what_price(command: Command, tmp_path: Path, name: str) -> None:
    with session() as connection:
        priced = ModelSpec("openai", f"priced-{name}", DIMS, options=ModelOptions(usd_per_million_tokens=1e6))
        model, _ = add_model(connection, priced)
    write_csv(tmp_path / "places.csv", [(key, f"{called}, renamed", *rest) for key, called, *rest in FIRST[:2]])
    ran = command("plan", name)
    assert ran.code == 0, ran.err
    assert "models would embed" in ran.out
    (line,) = (line for line in ran.out.splitlines() if f"openai/priced-{name}" in line)
    found = re.search(r"2 +items, about (\d+) tokens, about (\d+)\.00 USD", line)
    assert found, line
    assert found[1] == found[2]
    with session() as connection:
        retire_model(connection, model)
        row = connection.execute(
            """select a.plan -> 'embedding' from ingest.activations a join ingest.branches b using (branch_id)
                where a.plan is not null and b.name = %s""",
            (name,),
        ).fetchone()
    assert row
    (kept,) = (one for one in row[0] if one["model"] == model.model_id)
    assert (kept["items"], kept["tokens"]) == (2, int(found[1]))


def test_what_is_dead_is_counted_by_why_and_can_be_tried_again(command: Command, name: str, endpoint: Endpoint) -> None:
    pytest.importorskip("openai")

    def refusing(texts: list[str]) -> Reply:
        return refusal(400) if any("Beta" in text for text in texts) else ok(answer_to(texts))

    endpoint.usual = refusing
    ran = command("embed", "run", name)
    assert ran.code == 0, ran.err
    assert "1 dead" in ran.out
    assert "USD" in ran.err
    told = command("embed", "status", name)
    assert "dead: refused 1" in told.out
    assert f"ingest embed retry {name}" in told.out
    assert "0 dead requests wait again" in command("embed", "retry", name, "--error-class", "http_500").out
    assert "1 dead requests wait again" in command("embed", "retry", name, "--error-class", "refused").out
    endpoint.usual = lambda texts: ok(answer_to(texts))
    assert "1 embedded" in command("embed", "run", name).out


def test_a_wrong_key_is_an_error_that_says_what_to_do(command: Command, name: str, endpoint: Endpoint) -> None:
    pytest.importorskip("openai")
    endpoint.usual = lambda texts: refusal(401, words="who are you")
    ran = command("embed", "run", name)
    assert ran.code == 1
    assert "401: who are you" in ran.err
    assert f"at {endpoint.url}" in ran.err
    assert "--key-env" in ran.err, "the key of another endpoint would be no help"
    assert "Traceback" not in ran.err
    assert "9 pending, 0 leased, 0 dead" in command("embed", "status", name).out


def test_a_model_that_cannot_be_used_keeps_no_other_waiting(command: Command, name: str, endpoint: Endpoint) -> None:
    pytest.importorskip("openai")
    endpoint.usual = lambda texts: refusal(403)
    with serving() as other, session() as connection:
        declared = ModelSpec("openai", f"later-{name}", DIMS, options=ModelOptions(base_url=other.url))
        model, _ = add_model(connection, declared)
        reconcile(connection, model=model)
        ran = command("embed", "run", name, "--workers", "2")
        assert (ran.code, "403" in ran.err) == (1, True)
        assert f"openai/later-{name}: 9 embedded" in ran.out
        told = command("embed", "run", name, "--json")
        assert (told.code, told.json["code"]) == (1, "ProviderUnusable")
        assert model.model_id in [one["model"] for one in told.json["models"]], "what the others came to is told too"
        retire_model(connection, model)


def test_an_endpoint_that_fails_is_told_of_until_it_answers(command: Command, name: str, endpoint: Endpoint) -> None:
    pytest.importorskip("openai")
    endpoint.usual = lambda texts: refusal(500, words="out of memory")
    assert "9 failed" in command("embed", "run", name, "--limit", "9").out
    told = command("embed", "status", name).out
    assert "500: out of memory" in told
    with session() as connection:
        connection.execute("update core.embedding_endpoints set paused_until = now()")
        connection.execute("update core.embedding_requests set next_attempt_at = now() where status = 'p'")
    assert "no answer when it was asked last: 500: out of memory" in command("embed", "status", name).out
    endpoint.usual = lambda texts: ok(answer_to(texts))
    assert "9 embedded" in command("embed", "run", name).out
    assert "out of memory" not in command("embed", "status", name).out


def test_ctrl_c_hands_back_what_is_not_answered(command: Command, name: str, endpoint: Endpoint) -> None:
    pytest.importorskip("openai")
    answer = threading.Event()

    def interrupted(texts: list[str]) -> Reply:
        os.kill(os.getpid(), signal.SIGINT)
        answer.wait(60)
        return ok(answer_to(texts))

    endpoint.usual = interrupted
    ran = command("embed", "run", name, "--json")
    answer.set()
    assert (ran.code, ran.json["code"]) == (130, "Interrupted")
    assert "handed back" in ran.json["what"]
    assert (ran.json["models"][-1]["done"], ran.json["models"][-1]["stopped"]) == (0, True)
    assert "9 pending, 0 leased, 0 dead" in command("embed", "status", name).out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_branch_that_is_not_there(command: Command) -> None:
    for deed in ("run", "status", "retry"):
        assert command("embed", deed, "nowhere").code == 2


def test_the_demo_shows_its_vectors_in_dagster_too(command: Command) -> None:
    ran = command("demo", "--rows", "30")
    assert ran.code == 0, ran.err
    assert "item_embeddings: " in ran.err
    with dagster_instance() as instance:
        found = instance.get_latest_materialization_event(AssetKey("item_embeddings"))
    made = found.asset_materialization if found else None
    assert made
    assert made.partition == "demo-places"
    assert made.metadata["coverage"].value == 1.0


def test_the_demo_asks_no_model_that_may_cost_money(command: Command, endpoint: Endpoint) -> None:
    ran = command("demo", "--rows", "40")
    assert ran.code == 0, ran.err
    assert "ingest embed run demo-places" in ran.out
    assert not endpoint.requests
