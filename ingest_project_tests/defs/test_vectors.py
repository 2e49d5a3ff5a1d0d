"""The fifth asset: what waits is embedded, a run at a time; how the branch stands is said by numbers and checks."""

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from ingest_project.branches.registry import get_branch
from ingest_project.defs.nightly import reconcile_job
from ingest_project.embeddings import backlog
from ingest_project.embeddings.backlog import NAMESPACE, due_branches
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project_tests.defs.conftest import CHAIN, VECTORS, Line, Run
from ingest_project_tests.journey.conftest import SECOND

pytestmark = pytest.mark.usefixtures("pgvector")


def vectors(place: Line) -> int:
    found = place.ask(
        """select count(*) from core.item_embeddings e join core.items i using (item_id)
            where i.branch_id = %(branch_id)s and e.content_hash = i.embed_hash"""
    )
    return found[0]["count"]


def checks(run: Run) -> dict[str, tuple[bool, dict[str, Any]]]:
    return {
        one.check_name: (one.passed, {key: value.value for key, value in one.metadata.items()})
        for one in run.result.get_asset_check_evaluations()
    }


def test_what_waits_is_embedded_and_the_numbers_say_so(line: Callable[..., Line]) -> None:
    place = line()
    assert place.run().success
    assert vectors(place) == 0, "ingesting only asks"
    run = place.embed()
    assert (run.success, run.materialized, vectors(place)) == (True, [VECTORS], 9)
    told = run.metadata(VECTORS)
    assert {key: told[key] for key in ("embedded", "pending", "done", "dead", "coverage", "branch")} == {
        "embedded": 9, "pending": 0, "done": 9, "dead": 0, "coverage": 1.0, "branch": place.name,
    }  # fmt: skip
    assert "builtin/lexical-hashing" in told["models"]
    assert told["seconds"] > 0
    assert checks(run) == {
        "coverage": (True, {"items": 9, "lacking": 0}),
        "dead_requests": (True, {"dead": 0, "by_class": {}}),
        "ledger_equals_vectors": (True, {"lost": 0}),
    }


def test_what_still_waits_is_told_with_its_age(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    with session() as connection:
        connection.execute(
            """update core.embedding_requests set next_attempt_at = now() + interval '1 hour'
                where item_id in (select item_id from core.items where branch_id = %s order by item_id limit 1)""",
            (place.branch_id,),
        )
    told = place.embed().metadata(VECTORS)
    assert (told["pending"], told["leased"], told["done"], told["coverage"]) == (1, 0, 8, round(8 / 9, 4))
    assert time.time() - 600 < told["oldest_pending"] <= time.time()
    assert "oldest pending" in told["models"]
    assert "per second" in told["models"]


def test_checks_are_of_one_branch(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    run = place.embed()
    assert {one.partition for one in run.result.get_asset_check_evaluations()} == {place.name}


def test_only_what_changed_is_embedded_again(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.embed()
    place.holds(SECOND)
    place.run()
    assert place.embed().metadata(VECTORS)["embedded"] == 3, "one renamed, two new"


def test_materialize_all_ends_with_vectors_and_without_the_lease(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    held: list[str | None] = []
    drain = backlog.drain
    monkeypatch.setattr("ingest_project.defs.embedding.drain", lambda *args: held.append(place.holder) or drain(*args))
    run = place.embed(*CHAIN, VECTORS)
    assert (run.success, run.materialized, vectors(place)) == (True, [*CHAIN, VECTORS], 9)
    assert held == [None], "others may ingest the branch while it is embedded"
    assert place.states == ["done"]


def test_what_went_wrong_is_a_failed_check_that_says_what_to_do(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.embed()
    with session() as connection:
        mine = "(select item_id from core.items where branch_id = %s order by item_id limit 2)"
        connection.execute(f"delete from core.item_embeddings where item_id in {mine}".encode(), (place.branch_id,))
        connection.execute(
            f"""update core.embedding_requests set status = 'x', completed_at = null, error_class = 'refused'
                 where item_id in {mine.replace("limit 2", "limit 1")}""".encode(),
            (place.branch_id,),
        )
    run = place.embed()
    assert run.success, "a check is no failure of the run"
    told = checks(run)
    assert {name: passed for name, (passed, _) in told.items()} == dict.fromkeys(told, False)
    assert told["dead_requests"][1]["by_class"] == {"refused": 1}
    assert "ingest embed retry" in told["dead_requests"][1]["do"]
    assert told["ledger_equals_vectors"][1] == {"lost": 1, "do": "`ingest verify --repair`."}
    assert told["coverage"][1]["lacking"] == 1


def test_two_runs_never_embed_a_branch_at_once(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    with session() as connection:
        connection.execute("select pg_advisory_lock(%s, %s)", (NAMESPACE, place.branch_id))
        run = place.embed()
        assert (run.success, run.told["error"], run.told["exit_code"], run.retries) == (False, "Locked", 3, 0)
    assert place.embed().success


def test_a_run_ends_after_its_time_and_the_rest_is_due(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    place.run()
    with session() as connection:
        outcome = backlog.drain(get_branch(connection, place.name), 0.0)
        assert outcome.outcome.stopped
        assert place.name in due_branches(connection)
    assert vectors(place) < 9 or outcome.outcome.done == 9


def test_a_provider_that_cannot_be_used_is_said_once_and_not_tried_again(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    place = line()
    with session() as connection:
        connection.execute(
            """insert into core.embedding_models (provider, model, version, dims, template, state)
               values ('openai', 'keyless', '1', 8, '{name}', 'filling')"""
        )
    try:
        place.run()
        run = place.embed()
        assert (run.success, run.told["error"], run.retries) == (False, "ProviderUnusable", 0)
        assert vectors(place) == 9, "the other model does not wait for it"
    finally:
        with session() as connection:
            connection.execute(
                """delete from core.embedding_requests where model_id in
                   (select model_id from core.embedding_models where model = 'keyless')"""
            )
            connection.execute("delete from core.embedding_models where model = 'keyless'")


def test_without_pgvector_materialize_all_is_green_and_says_the_dbas_command(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    monkeypatch.setattr("ingest_project.defs.embedding.has_vectors", lambda *_: False)
    monkeypatch.setattr("ingest_project.embeddings.queue.ensure_vectors", lambda _: False)
    run = place.embed(*CHAIN, VECTORS)
    assert (run.success, run.materialized) == (True, [*CHAIN])
    (seen,) = [event for event in run.result.get_asset_observation_events() if event.asset_key.path[-1] == VECTORS]
    assert seen.event_specific_data.asset_observation.partition == place.name  # pyright: ignore
    told = seen.event_specific_data.asset_observation.metadata  # pyright: ignore
    assert "create extension vector" in str(told["do"].value)
    assert (place.requests, vectors(place)) == (9, 0), "they wait"
    assert {name: passed for name, (passed, _) in checks(run).items() if name in ("coverage", "dead_requests")} == {
        "coverage": False,
        "dead_requests": True,
    }
    assert "create extension vector" in checks(run)["coverage"][1]["do"]


def test_the_nightly_job_reconciles(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    with session() as connection:
        connection.execute("delete from core.embedding_requests where branch_id = %s", (place.branch_id,))
    result = reconcile_job.execute_in_process(instance=place.instance)
    assert result.success
    assert place.requests == 9
    assert settings().embed_run_seconds == 600
    assert leases.NAMESPACE != NAMESPACE


def test_the_schedule_is_for_the_night() -> None:
    from ingest_project.defs.nightly import reconcile_daily  # noqa: PLC0415 - of this test only

    assert reconcile_daily.cron_schedule == "45 3 * * *"
    assert reconcile_daily.default_status == dg.DefaultScheduleStatus.RUNNING
